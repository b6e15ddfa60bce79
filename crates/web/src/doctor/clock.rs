//! Whether all clocks say the same, and whether what is in memory stays there.

use chrono::{DateTime, TimeDelta, Utc};

use super::config::DoctorConfig;
use super::{CheckResult, Finding};

/// What clocks may differ by. Slack's signatures are good for 300 seconds.
const MAX_CLOCK_DRIFT: TimeDelta = TimeDelta::seconds(2);

/// Slack tells whole seconds.
const SLACK_CLOCK_RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// A clock that was looked at, and when its answer was on its way, by this machine's.
struct ClockReading {
    source: &'static str,
    reported_at: DateTime<Utc>,
    sent_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    resolution: TimeDelta,
}

impl ClockReading {
    /// How far it is off at least, whenever in between it was read; zero where it may be right.
    fn drift(&self) -> TimeDelta {
        let (earliest, latest) =
            (self.reported_at - self.received_at, self.reported_at + self.resolution - self.sent_at);
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
pub(super) async fn check_clock(setup: &DoctorConfig) -> CheckResult {
    let mut readings = Vec::new();
    let asked_at = Utc::now();
    if let Ok(told) = setup.query(db::Db::server_time).await {
        readings.push(ClockReading::new("Postgres", told, asked_at, TimeDelta::zero()));
    }
    if let Some(url) = &setup.redis_url {
        let asked_at = Utc::now();
        if let Ok(state) = cache::inspect(url).await {
            readings.push(ClockReading::new("Redis", state.now, asked_at, TimeDelta::zero()));
        }
    }
    if let Some(slack) = &setup.slack {
        let asked_at = Utc::now();
        if let Ok(told) = slack.server_time().await {
            readings.push(ClockReading::new("Slack", told, asked_at, SLACK_CLOCK_RESOLUTION));
        }
    }
    Ok(evaluate_clocks(&readings))
}

fn evaluate_clocks(readings: &[ClockReading]) -> Vec<Finding> {
    if readings.is_empty() {
        return vec![Finding::skipped("no other clock is reached")];
    }
    let off = readings.iter().filter(|reading| reading.drift().abs() > MAX_CLOCK_DRIFT);
    let mut findings: Vec<Finding> = off.map(ClockReading::drift_finding).collect();
    if findings.is_empty() {
        let whose: Vec<&str> = readings.iter().map(|reading| reading.source).collect();
        findings.push(Finding::ok(format!("this machine's is that of {}", whose.join(", "))));
    }
    findings
}

impl ClockReading {
    fn new(
        source: &'static str,
        reported_at: DateTime<Utc>,
        sent_at: DateTime<Utc>,
        resolution: TimeDelta,
    ) -> Self {
        Self { source, reported_at, sent_at, received_at: Utc::now(), resolution }
    }

    fn drift_finding(&self) -> Finding {
        let seconds = self.drift().num_seconds().abs();
        let side = if self.drift() > TimeDelta::zero() { "behind" } else { "ahead of" };
        Finding::fault(
            format!(
                "this machine's is {seconds} s {side} that of {}; Slack's signatures end at 300",
                self.source
            ),
            "let NTP set it (chrony, systemd-timesyncd)",
        )
    }
}

/// Whether the services can keep their memory out of core dumps here, by doing what they do.
pub(super) async fn check_core_dumps() -> CheckResult {
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

    fn reading(off_ms: i64, trip_ms: i64, grain: TimeDelta) -> ClockReading {
        let asked_at = DateTime::UNIX_EPOCH;
        let (told, trip) = (asked_at + TimeDelta::milliseconds(off_ms), TimeDelta::milliseconds(trip_ms));
        ClockReading {
            source: "Postgres",
            reported_at: told,
            sent_at: asked_at,
            received_at: asked_at + trip,
            resolution: grain,
        }
    }

    #[test]
    fn clock_drift_ignores_latency_and_rounding() {
        for (off, trip, grain) in
            [(0, 0, 0), (1900, 0, 0), (-1900, 0, 0), (6500, 5000, 0), (-2900, 0, 1), (200, 400, 0)]
        {
            let found = evaluate_clocks(&[reading(off, trip, TimeDelta::seconds(grain))]);
            assert_eq!(found[0].verdict, super::super::Severity::Ok, "{off} {trip} {grain}");
        }
        for (off, grain) in [(2100, 0), (-2100, 0), (-3100, 1), (600_000, 1)] {
            let found = evaluate_clocks(&[reading(off, 0, TimeDelta::seconds(grain))]);
            assert_eq!(found[0].verdict, super::super::Severity::Fault, "{off} {grain}");
        }
    }
}
