//! Whether all clocks say the same, and whether what is in memory stays there.

use chrono::{DateTime, TimeDelta, Utc};

use super::setup::Setup;
use super::{Finding, Look};

/// What clocks may differ by. Slack's signatures are good for 300 seconds.
const TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Slack tells whole seconds.
const GRAIN_OF_SLACK: TimeDelta = TimeDelta::seconds(1);

/// A clock that was looked at, and when its answer was on its way, by this machine's.
struct Reading {
    whose: &'static str,
    told: DateTime<Utc>,
    asked_at: DateTime<Utc>,
    answered_at: DateTime<Utc>,
    grain: TimeDelta,
}

impl Reading {
    /// How far it is off at least, whenever in between it was read; zero where it may be right.
    fn off(&self) -> TimeDelta {
        let (earliest, latest) = (self.told - self.answered_at, self.told + self.grain - self.asked_at);
        if earliest > TimeDelta::zero() {
            earliest
        } else if latest < TimeDelta::zero() {
            latest
        } else {
            TimeDelta::zero()
        }
    }
}

/// This machine's clock beside those of Postgres, Redis and Slack.
pub(super) async fn look(setup: &Setup) -> Look {
    let mut readings = Vec::new();
    let asked_at = Utc::now();
    if let Ok(told) = setup.ask(db::Db::now).await {
        readings.push(Reading::new("Postgres", told, asked_at, TimeDelta::zero()));
    }
    if let Some(url) = &setup.redis_url {
        let asked_at = Utc::now();
        if let Ok(state) = cache::examine(url).await {
            readings.push(Reading::new("Redis", state.now, asked_at, TimeDelta::zero()));
        }
    }
    if let Some(slack) = &setup.slack {
        let asked_at = Utc::now();
        if let Ok(told) = slack.now().await {
            readings.push(Reading::new("Slack", told, asked_at, GRAIN_OF_SLACK));
        }
    }
    Ok(judge(&readings))
}

fn judge(readings: &[Reading]) -> Vec<Finding> {
    if readings.is_empty() {
        return vec![Finding::unseen("no other clock is reached")];
    }
    let off = readings.iter().filter(|reading| reading.off().abs() > TOLERANCE);
    let mut findings: Vec<Finding> = off.map(Reading::told_off).collect();
    if findings.is_empty() {
        let whose: Vec<&str> = readings.iter().map(|reading| reading.whose).collect();
        findings.push(Finding::ok(format!("this machine's is that of {}", whose.join(", "))));
    }
    findings
}

impl Reading {
    fn new(whose: &'static str, told: DateTime<Utc>, asked_at: DateTime<Utc>, grain: TimeDelta) -> Self {
        Self { whose, told, asked_at, answered_at: Utc::now(), grain }
    }

    fn told_off(&self) -> Finding {
        let seconds = self.off().num_seconds().abs();
        let side = if self.off() > TimeDelta::zero() { "behind" } else { "ahead of" };
        Finding::fault(
            format!(
                "this machine's is {seconds} s {side} that of {}; Slack's signatures end at 300",
                self.whose
            ),
            "let NTP set it (chrony, systemd-timesyncd)",
        )
    }
}

/// Whether the services can keep their memory out of core dumps here, by doing what they do.
pub(super) async fn core_dumps() -> Look {
    Ok(vec![match service::forbid_core_dumps() {
        Ok(()) => Finding::ok("off, as both services switch them off"),
        Err(error) => Finding::fault(
            format!("they cannot be switched off ({error}): keys may come to lie on a disk"),
            "set the limit of core files to 0 for the services (systemd: LimitCORE=0)",
        ),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(off_ms: i64, trip_ms: i64, grain: TimeDelta) -> Reading {
        let asked_at = DateTime::UNIX_EPOCH;
        let (told, trip) = (asked_at + TimeDelta::milliseconds(off_ms), TimeDelta::milliseconds(trip_ms));
        Reading { whose: "Postgres", told, asked_at, answered_at: asked_at + trip, grain }
    }

    #[test]
    fn a_slow_answer_and_whole_seconds_are_no_fault_of_the_clock() {
        for (off, trip, grain) in
            [(0, 0, 0), (1900, 0, 0), (-1900, 0, 0), (6500, 5000, 0), (-2900, 0, 1), (200, 400, 0)]
        {
            let found = judge(&[reading(off, trip, TimeDelta::seconds(grain))]);
            assert_eq!(found[0].verdict, super::super::Verdict::Ok, "{off} {trip} {grain}");
        }
        for (off, grain) in [(2100, 0), (-2100, 0), (-3100, 1), (600_000, 1)] {
            let found = judge(&[reading(off, 0, TimeDelta::seconds(grain))]);
            assert_eq!(found[0].verdict, super::super::Verdict::Fault, "{off} {grain}");
        }
    }
}
