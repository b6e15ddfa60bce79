//! The time that each step took in its last run, kept under `target/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::workspace;

/// Seconds by step.
#[derive(Debug, Default)]
pub(super) struct StepTimes(BTreeMap<String, f64>);

impl StepTimes {
    /// Reads the times of earlier runs. A missing or damaged file means that none were measured.
    pub(super) fn load() -> Self {
        let text = fs::read_to_string(times_file()).unwrap_or_default();
        Self(serde_json::from_str(&text).unwrap_or_default())
    }

    pub(super) fn save(&self) -> Result<()> {
        let file = times_file();
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(file, serde_json::to_string_pretty(&self.0)?)?)
    }

    /// Returns true before the first complete step.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, step: &str) -> Option<Duration> {
        self.0.get(step).and_then(|seconds| Duration::try_from_secs_f64(*seconds).ok())
    }

    pub(super) fn record(&mut self, step: String, took: Duration) {
        self.0.insert(step, took.as_secs_f64());
    }
}

fn times_file() -> PathBuf {
    workspace::target().join("test/step_times.json")
}

/// Formats a duration for people: `4.2 s`, `75 s`, `12 min`.
pub(super) fn display_duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_for_people() {
        let shown = [0.04, 9.94, 75.0, 149.0, 1500.0].map(|s| display_duration(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.0 s", "9.9 s", "75 s", "2 min", "25 min"]);
    }
}
