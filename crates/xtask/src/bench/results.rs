//! The figures that `web plan` uses, in a file of `web`: each with its command and the day of its
//! measurement.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace;

/// A benchmark's figure, by its name in the file, which also has its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenchResult {
    /// The name in the first column.
    pub name: &'static str,
    /// The value, in the unit of that row.
    pub value: f64,
}

impl BenchResult {
    pub(super) fn new(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

fn results_file() -> PathBuf {
    workspace::root().join("crates/web/src/cli/plan/measured.csv")
}

/// Returns the last recorded figure with this name.
pub fn read_recorded(name: &str) -> Result<f64> {
    let text = fs::read_to_string(results_file())?;
    let row = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(','));
    match row.and_then(|row| row.split(',').next()?.parse().ok()) {
        Some(value) => Ok(value),
        None => bail!("measured.csv has no {name}"),
    }
}

/// Writes figures into the file in place of older ones, with the day and the commit.
pub(super) fn record(figures: &[BenchResult]) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%cs %h"]).current_dir(workspace::root());
    let measured = workspace::output(&mut git)?;
    let text = fs::read_to_string(results_file())?;
    fs::write(results_file(), replace_rows(&text, figures, measured.trim())?)?;
    println!("\n{} figures recorded in {}.", figures.len(), results_file().display());
    Ok(())
}

fn replace_rows(text: &str, figures: &[BenchResult], measured: &str) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for BenchResult { name, value } in figures {
        let row = lines.iter_mut().find(|line| line.split(',').next() == Some(name));
        let Some(row) = row else { bail!("measured.csv has no row {name} with its unit and command") };
        let columns: Vec<&str> = row.split(',').collect();
        let [_, _, unit, command, _] = columns[..] else { bail!("the row {name} has not five columns") };
        *row = format!("{name},{},{unit},{command},{measured}", round_to_three_digits(*value));
    }
    Ok(lines.join("\n") + "\n")
}

/// Rounds to three significant digits, the precision of the measurement.
fn round_to_three_digits(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_replaces_one_row() {
        let text = "name,value,unit,command,measured\na,1,ms,x,never\nab,2,ms,x,never\n";
        let replaced = replace_rows(text, &[BenchResult::new("a", 1234.567)], "2026-01-02 abc").unwrap();
        assert_eq!(
            replaced,
            "name,value,unit,command,measured\na,1230,ms,x,2026-01-02 abc\nab,2,ms,x,never\n"
        );
        assert!(replace_rows(text, &[BenchResult::new("b", 1.0)], "").is_err());
        assert_eq!([0.012345, 0.0, 23_456.0].map(round_to_three_digits), [0.0123, 0.0, 23_500.0]);
    }

    #[test]
    fn recorded_result_is_found() {
        assert!(read_recorded("replies_by_16_slots").unwrap() > 1.0);
        assert!(read_recorded("replies_by").is_err());
    }
}
