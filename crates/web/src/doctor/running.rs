//! What runs now, what waits, and what was kept for a bad day.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use db::replicas::Replica;

use super::setup::Setup;
use super::{Finding, Look};

/// A replica notes itself every fifteen seconds.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(60);

/// Two versions run side by side while a release goes out, and no longer.
const RELEASE: TimeDelta = TimeDelta::minutes(15);

/// How long the oldest event may wait, before it is odd and before something is wrong.
const ODD: TimeDelta = TimeDelta::minutes(1);
const WRONG: TimeDelta = TimeDelta::minutes(10);

/// A backup is taken each day; this leaves it some hours.
const BACKUP: TimeDelta = TimeDelta::hours(26);

/// Whether both services run, all of one release.
pub(super) async fn replicas(setup: &Setup) -> Look {
    let (replicas, now) = setup
        .ask(async |db| {
            let replicas = db::replicas::list(&mut db.begin_for_all().await?).await?;
            Ok((replicas, db.now().await?))
        })
        .await?;
    let mut findings = judge(&replicas, now);
    if findings.is_empty() {
        let of = |service: &str| replicas.iter().filter(|replica| replica.service == service).count();
        let version = replicas.first().map(|replica| replica.version.as_str()).unwrap_or_default();
        findings.push(Finding::ok(format!("{} of api, {} of web, version {version}", of("api"), of("web"))));
    }
    Ok(findings)
}

fn judge(replicas: &[Replica], now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in ["api", "web"] {
        if !replicas.iter().any(|replica| replica.service == service) {
            findings.push(Finding::warn(format!("no {service} runs"), "start it"));
        }
    }
    for replica in replicas.iter().filter(|replica| now - replica.seen_at > HEARTBEAT) {
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
        findings.push(match last_start.is_some_and(|start| now - start < RELEASE) {
            true => Finding::warn(told, "let the release come to its end"),
            false => {
                Finding::fault(told, "the release did not come to its end: replace those of the old version")
            }
        });
    }
    findings
}

/// How long the oldest event waits.
pub(super) async fn queue(setup: &Setup) -> Look {
    let state = setup.ask(async |db| db::events::queue_state(&mut db.begin_for_all().await?).await).await?;
    let waits = TimeDelta::seconds(state.oldest_seconds as i64);
    let told = format!("{} event(s) wait, the oldest for {} s", state.depth, waits.num_seconds());
    let todo = "start more replicas of api; `web events list` and api's log say what holds them up";
    Ok(vec![match waits {
        waits if waits > WRONG => Finding::fault(told, todo),
        waits if waits > ODD => Finding::warn(told, todo),
        _ => Finding::ok(told),
    }])
}

/// What was given up, for a person to decide.
pub(super) async fn set_aside(setup: &Setup) -> Look {
    let given_up =
        setup.ask(async |db| db::diagnosis::count_set_aside(&mut db.begin_for_all().await?).await).await?;
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
pub(super) async fn backups(setup: &Setup) -> Look {
    let taken_at = setup.ask(db::Db::find_last_backup).await?;
    let todo = "take one each day, and see by a restore that it is good (deploy/backup)";
    let Some(taken_at) = taken_at else {
        return Ok(vec![Finding::warn("none is recorded", todo)]);
    };
    let hours = (Utc::now() - taken_at).num_hours();
    let told = format!("the last was taken {hours} h ago");
    Ok(vec![if Utc::now() - taken_at > BACKUP { Finding::fault(told, todo) } else { Finding::ok(told) }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(service: &str, version: &str, seen: i64, started: i64) -> Replica {
        let mut replica = Replica::new(service, version, format!("{service}-1:1"), serde_json::json!({}));
        replica.seen_at = Utc::now() - TimeDelta::seconds(seen);
        replica.started_at = Utc::now() - TimeDelta::seconds(started);
        replica
    }

    fn told(replicas: &[Replica]) -> Vec<String> {
        let findings = judge(replicas, Utc::now());
        findings.iter().map(|finding| format!("{:?} {}", finding.verdict, finding.found)).collect()
    }

    #[test]
    fn a_release_is_under_way_for_a_while_and_then_it_is_stuck() {
        let well = [replica("api", "1.0.0", 5, 9000), replica("web", "1.0.0", 5, 9000)];
        assert_eq!(told(&well), [""; 0]);
        for (started, verdict) in [(60, "Warn"), (3600, "Fault")] {
            let mixed = [well[0].clone(), replica("web", "1.1.0", 5, started)];
            assert_eq!(told(&mixed), [format!("{verdict} several versions run: 1.0.0, 1.1.0")]);
        }
        let lost = [well[1].clone(), replica("api", "1.0.0", 90, 9000)];
        assert_eq!(told(&lost), ["Fault api at api-1:1 was last heard of 90 s ago"]);
        assert_eq!(told(&well[..1]), ["Warn no web runs"]);
    }
}
