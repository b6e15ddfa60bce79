//! Checks of clocks and core dumps.

use chrono::{DateTime, TimeDelta, Utc};

use super::config::DoctorConfig;
use super::finding::{CheckResult, Finding};

/// Allowed difference between two clocks. Slack's signatures are valid for 300 seconds.
const MAX_CLOCK_DRIFT: TimeDelta = TimeDelta::seconds(2);

/// Slack reports whole seconds.
const SLACK_CLOCK_RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// A reading of another clock, with this machine's time before and after the call.
struct ClockReading {
    source: &'static str,
    reported_at: DateTime<Utc>,
    sent_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    resolution: TimeDelta,
}

impl ClockReading {
    /// Returns the smallest drift that explains the reading; zero if the clocks may agree.
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

/// Compares this machine's clock with those of Postgres, Redis and Slack.
pub(super) async fn check_clock(setup: &DoctorConfig) -> CheckResult {
    let mut readings = Vec::new();
    let sent_at = Utc::now();
    if let Ok(reported) = setup.query(db::Db::server_time).await {
        readings.push(ClockReading::new("Postgres", reported, sent_at, TimeDelta::zero()));
    }
    if let Some(url) = &setup.redis_url {
        let sent_at = Utc::now();
        if let Ok(state) = cache::inspect(url).await {
            readings.push(ClockReading::new("Redis", state.now, sent_at, TimeDelta::zero()));
        }
    }
    if let Some(slack) = &setup.slack {
        let sent_at = Utc::now();
        if let Ok(reported) = slack.server_time().await {
            readings.push(ClockReading::new("Slack", reported, sent_at, SLACK_CLOCK_RESOLUTION));
        }
    }
    Ok(evaluate_clocks(&readings))
}

fn evaluate_clocks(readings: &[ClockReading]) -> Vec<Finding> {
    if readings.is_empty() {
        return vec![Finding::skipped("no other clock could be read")];
    }
    let off = readings.iter().filter(|reading| reading.drift().abs() > MAX_CLOCK_DRIFT);
    let mut findings: Vec<Finding> = off.map(ClockReading::drift_finding).collect();
    if findings.is_empty() {
        let sources: Vec<&str> = readings.iter().map(|reading| reading.source).collect();
        findings.push(Finding::ok(format!("in sync with {}", sources.join(", "))));
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
                "this machine is {seconds} s {side} {}; Slack's signatures expire after 300 s",
                self.source
            ),
            "synchronize it with NTP (chrony, systemd-timesyncd)",
        )
    }
}

/// Checks that the services can disable core dumps here, by disabling them for this process.
pub(super) async fn check_core_dumps() -> CheckResult {
    Ok(vec![match service::forbid_core_dumps() {
        Ok(()) => Finding::ok("disabled by both services"),
        Err(error) => Finding::fault(
            format!("cannot be disabled ({error}): a crash may write keys to disk"),
            "set the core file limit of the services to 0 (systemd: LimitCORE=0)",
        ),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn reading(off_ms: i64, trip_ms: i64, resolution: TimeDelta) -> ClockReading {
        let sent_at = DateTime::UNIX_EPOCH;
        ClockReading {
            source: "Postgres",
            reported_at: sent_at + TimeDelta::milliseconds(off_ms),
            sent_at,
            received_at: sent_at + TimeDelta::milliseconds(trip_ms),
            resolution,
        }
    }

    #[test]
    fn clock_drift_ignores_latency_and_rounding() {
        for (off, trip, resolution) in
            [(0, 0, 0), (1900, 0, 0), (-1900, 0, 0), (6500, 5000, 0), (-2900, 0, 1), (200, 400, 0)]
        {
            let found = evaluate_clocks(&[reading(off, trip, TimeDelta::seconds(resolution))]);
            assert_eq!(found[0].verdict, Severity::Ok, "{off} {trip} {resolution}");
        }
        for (off, resolution) in [(2100, 0), (-2100, 0), (-3100, 1), (600_000, 1)] {
            let found = evaluate_clocks(&[reading(off, 0, TimeDelta::seconds(resolution))]);
            assert_eq!(found[0].verdict, Severity::Fault, "{off} {resolution}");
        }
    }
}
