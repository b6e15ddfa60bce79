//! What runs now, what waits, and what was kept for a bad day.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use db::instances::Instance;

use super::config::DoctorConfig;
use super::{CheckResult, Finding};

/// A replica notes itself every fifteen seconds.
const HEARTBEAT_TIMEOUT: TimeDelta = TimeDelta::seconds(60);

/// Two versions run side by side while a release goes out, and no longer.
const MAX_RELEASE_DURATION: TimeDelta = TimeDelta::minutes(15);

/// How long the oldest event may wait, before it is odd and before something is wrong.
const QUEUE_AGE_WARNING: TimeDelta = TimeDelta::minutes(1);
const MAX_QUEUE_AGE: TimeDelta = TimeDelta::minutes(10);

/// A backup is taken each day; this leaves it some hours.
const MAX_BACKUP_AGE: TimeDelta = TimeDelta::hours(26);

/// Whether both services run, all of one release.
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
            findings.push(Finding::warn(format!("no {service} runs"), "start it"));
        }
    }
    for replica in replicas.iter().filter(|replica| now - replica.seen_at > HEARTBEAT_TIMEOUT) {
        let (service, host) = (&replica.service, &replica.host);
        let seconds = (now - replica.seen_at).num_seconds();
        findings.push(Finding::fault(
            format!("{service} at {host} was last heard of {seconds} s ago"),
            "see whether it was killed, or does not reach the database; it is forgotten after ten minutes",
        ));
    }
    let versions: BTreeSet<&str> = replicas.iter().map(|replica| replica.version.as_str()).collect();
    let last_start = replicas.iter().map(|replica| replica.started_at).max();
    if versions.len() > 1 {
        let told = format!("several versions run: {}", Vec::from_iter(versions).join(", "));
        findings.push(match last_start.is_some_and(|start| now - start < MAX_RELEASE_DURATION) {
            true => Finding::warn(told, "let the release come to its end"),
            false => {
                Finding::fault(told, "the release did not come to its end: replace those of the old version")
            }
        });
    }
    findings
}

/// How long the oldest event waits.
pub(super) async fn check_queue(setup: &DoctorConfig) -> CheckResult {
    let state =
        setup.query(async |db| db::events::queue_state(&mut db.begin_cross_tenant().await?).await).await?;
    let waits = TimeDelta::seconds(state.oldest_seconds as i64);
    let told = format!("{} event(s) wait, the oldest for {} s", state.depth, waits.num_seconds());
    let todo = "start more replicas of api; `web events list` and api's log say what holds them up";
    Ok(vec![match waits {
        waits if waits > MAX_QUEUE_AGE => Finding::fault(told, todo),
        waits if waits > QUEUE_AGE_WARNING => Finding::warn(told, todo),
        _ => Finding::ok(told),
    }])
}

/// What was given up, for a person to decide.
pub(super) async fn check_dead_letters(setup: &DoctorConfig) -> CheckResult {
    let given_up = setup
        .query(async |db| db::diagnostics::count_dead_letters(&mut db.begin_cross_tenant().await?).await)
        .await?;
    let of = given_up.tenant_id.unwrap_or_default();
    Ok(vec![match given_up.count {
        0 => Finding::ok("nothing was set aside"),
        count => Finding::fault(
            format!("{count} event(s) were set aside, most of them of {of}"),
            format!(
                "`web events list {of}` says why; `web events redrive` tries again, `web events discard` gives up"
            ),
        ),
    }])
}

/// Whether there is a recent one.
pub(super) async fn check_backups(setup: &DoctorConfig) -> CheckResult {
    let taken_at = setup.query(db::Db::find_last_backup).await?;
    let todo = "take one each day, and see by a restore that it is good (deploy/backup)";
    let Some(taken_at) = taken_at else {
        return Ok(vec![Finding::warn("none is recorded", todo)]);
    };
    let hours = (Utc::now() - taken_at).num_hours();
    let told = format!("the last was taken {hours} h ago");
    Ok(vec![if Utc::now() - taken_at > MAX_BACKUP_AGE {
        Finding::fault(told, todo)
    } else {
        Finding::ok(told)
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(service: &str, version: &str, seen: i64, started: i64) -> Instance {
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
        let well = [replica("api", "1.0.0", 5, 9000), replica("web", "1.0.0", 5, 9000)];
        assert_eq!(describe_findings(&well), [""; 0]);
        for (started, verdict) in [(60, "Warn"), (3600, "Fault")] {
            let mixed = [well[0].clone(), replica("web", "1.1.0", 5, started)];
            assert_eq!(describe_findings(&mixed), [format!("{verdict} several versions run: 1.0.0, 1.1.0")]);
        }
        let lost = [well[1].clone(), replica("api", "1.0.0", 90, 9000)];
        assert_eq!(describe_findings(&lost), ["Fault api at api-1:1 was last heard of 90 s ago"]);
        assert_eq!(describe_findings(&well[..1]), ["Warn no web runs"]);
    }
}
