//! Checks of running instances, the queue, dead letters and backups.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use db::instances::Instance;

use super::config::DoctorConfig;
use super::finding::{CheckResult, Finding};

/// An instance without a heartbeat for this time is reported. Heartbeats come every 15 seconds.
const HEARTBEAT_TIMEOUT: TimeDelta = TimeDelta::seconds(60);

/// Two versions may run side by side for this long, during a release.
const MAX_RELEASE_DURATION: TimeDelta = TimeDelta::minutes(15);

/// Age of the oldest queued event from which the check warns, and from which it reports a fault.
const QUEUE_AGE_WARNING: TimeDelta = TimeDelta::minutes(1);
const MAX_QUEUE_AGE: TimeDelta = TimeDelta::minutes(10);

/// Backups are taken daily; two hours are added for the backup itself.
const MAX_BACKUP_AGE: TimeDelta = TimeDelta::hours(26);

/// Checks that both services run, with one version.
pub(super) async fn check_instances(setup: &DoctorConfig) -> CheckResult {
    let (replicas, now) = setup
        .query(async |db| {
            let replicas = db::instances::list(&mut db.begin_cross_tenant().await?).await?;
            Ok((replicas, db.server_time().await?))
        })
        .await?;
    let mut findings = evaluate_instances(&replicas, now);
    if findings.is_empty() {
        let of = |service: &str| replicas.iter().filter(|replica| replica.service == service).count();
        let version = replicas.first().map(|replica| replica.version.as_str()).unwrap_or_default();
        findings.push(Finding::ok(format!("{} of api, {} of web, version {version}", of("api"), of("web"))));
    }
    Ok(findings)
}

fn evaluate_instances(replicas: &[Instance], now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in ["api", "web"] {
        if !replicas.iter().any(|replica| replica.service == service) {
            findings.push(Finding::warn(format!("{service} is not running"), "start it"));
        }
    }
    for replica in replicas.iter().filter(|replica| now - replica.seen_at > HEARTBEAT_TIMEOUT) {
        let (service, host) = (&replica.service, &replica.host);
        let seconds = (now - replica.seen_at).num_seconds();
        findings.push(Finding::fault(
            format!("last heartbeat of {service} at {host} was {seconds} s ago"),
            "check whether it was killed or cannot reach the database; its entry expires after ten minutes",
        ));
    }
    let versions: BTreeSet<&str> = replicas.iter().map(|replica| replica.version.as_str()).collect();
    let last_start = replicas.iter().map(|replica| replica.started_at).max();
    if versions.len() > 1 {
        let found = format!("several versions are running: {}", Vec::from_iter(versions).join(", "));
        findings.push(match last_start.is_some_and(|start| now - start < MAX_RELEASE_DURATION) {
            true => Finding::warn(found, "let the release finish"),
            false => {
                Finding::fault(found, "the release did not finish: replace the replicas of the old version")
            }
        });
    }
    findings
}

/// Checks the age of the oldest queued event.
pub(super) async fn check_queue(setup: &DoctorConfig) -> CheckResult {
    let state =
        setup.query(async |db| db::events::queue_state(&mut db.begin_cross_tenant().await?).await).await?;
    let age = TimeDelta::seconds(state.oldest_seconds as i64);
    let found = format!("{} event(s) queued, the oldest for {} s", state.depth, age.num_seconds());
    let remedy = "start more replicas of api; `web events list` and api's log show the cause";
    Ok(vec![match age {
        age if age > MAX_QUEUE_AGE => Finding::fault(found, remedy),
        age if age > QUEUE_AGE_WARNING => Finding::warn(found, remedy),
        _ => Finding::ok(found),
    }])
}

/// Checks for dead letters: events that failed for good and need a person's decision.
pub(super) async fn check_dead_letters(setup: &DoctorConfig) -> CheckResult {
    let dead_letters = setup
        .query(async |db| db::diagnostics::count_dead_letters(&mut db.begin_cross_tenant().await?).await)
        .await?;
    let tenant_id = dead_letters.tenant_id.unwrap_or_default();
    Ok(vec![match dead_letters.count {
        0 => Finding::ok("none"),
        count => Finding::fault(
            format!("{count} event(s) failed for good, most of them in {tenant_id}"),
            format!(
                "`web events list {tenant_id}` shows the reasons; retry with `web events redrive`, or drop \
                 with `web events discard`"
            ),
        ),
    }])
}

/// Checks that there is a recent backup.
pub(super) async fn check_backups(setup: &DoctorConfig) -> CheckResult {
    let taken_at = setup.query(db::Db::find_last_backup).await?;
    let remedy = "take one daily, and test it with a restore (deploy/backup)";
    let Some(taken_at) = taken_at else {
        return Ok(vec![Finding::warn("no backup is recorded", remedy)]);
    };
    let hours = (Utc::now() - taken_at).num_hours();
    let found = format!("the last backup was taken {hours} h ago");
    Ok(vec![if Utc::now() - taken_at > MAX_BACKUP_AGE {
        Finding::fault(found, remedy)
    } else {
        Finding::ok(found)
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(service: &str, version: &str, seen: i64, started: i64) -> Instance {
        let mut replica = Instance::new(service, version, format!("{service}-1:1"), serde_json::json!({}));
        replica.seen_at = Utc::now() - TimeDelta::seconds(seen);
        replica.started_at = Utc::now() - TimeDelta::seconds(started);
        replica
    }

    fn describe_findings(replicas: &[Instance]) -> Vec<String> {
        let findings = evaluate_instances(replicas, Utc::now());
        findings.iter().map(|finding| format!("{:?} {}", finding.verdict, finding.found)).collect()
    }

    #[test]
    fn mixed_versions_fault_after_grace() {
        let healthy = [instance("api", "1.0.0", 5, 9000), instance("web", "1.0.0", 5, 9000)];
        assert_eq!(describe_findings(&healthy), [""; 0]);
        for (started, verdict) in [(60, "Warn"), (3600, "Fault")] {
            let mixed = [healthy[0].clone(), instance("web", "1.1.0", 5, started)];
            assert_eq!(
                describe_findings(&mixed),
                [format!("{verdict} several versions are running: 1.0.0, 1.1.0")]
            );
        }
        let lost = [healthy[1].clone(), instance("api", "1.0.0", 90, 9000)];
        assert_eq!(describe_findings(&lost), ["Fault last heartbeat of api at api-1:1 was 90 s ago"]);
        assert_eq!(describe_findings(&healthy[..1]), ["Warn web is not running"]);
    }
}
