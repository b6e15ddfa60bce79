//! Measures how long a thread waits after the death of the replica that was answering in it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::stack::Stack;

/// Seconds of a lease, and between two renewals.
const ASSUMED_LEASE_SECONDS: f64 = 6.0;
const ASSUMED_RENEW_SECONDS: f64 = 2.0;

/// The uncertainty of times from polling.
const POLL_TOLERANCE_SECONDS: f64 = 1.0;

/// A lease as it was last polled.
struct LeaseSnapshot {
    token: String,
    expires_at: f64,
}

/// The death of a replica, or the moment when it was suspended.
#[derive(Clone, Copy)]
struct InstanceFailure {
    at: f64,
    /// Seconds without Postgres until then.
    outage_seconds: f64,
}

/// The time that a thread waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    pub(super) total: Duration,
    /// Without the time in which no replica could reach Postgres.
    pub(super) while_reachable: Duration,
}

#[derive(Default)]
pub(super) struct TakeoverTracker {
    failures: Vec<InstanceFailure>,
    leases: HashMap<String, LeaseSnapshot>,
    /// Threads whose lease ran out, with the failure that caused it.
    orphaned_threads: HashMap<String, InstanceFailure>,
    /// Seconds without Postgres, and the start of the current outage.
    outage_seconds: f64,
    outage_since: Option<f64>,
    pub(super) takeovers: Vec<Takeover>,
}

impl TakeoverTracker {
    /// Records that a replica has died or was suspended.
    pub(super) fn record_failure(&mut self) {
        self.failures.push(InstanceFailure {
            at: unix_seconds(),
            outage_seconds: self.outage_seconds_until(unix_seconds()),
        });
    }

    /// Records whether replicas can reach Postgres.
    pub(super) fn record_postgres_state(&mut self, is_reachable: bool) {
        if is_reachable {
            self.outage_seconds = self.outage_seconds_until(unix_seconds());
            self.outage_since = None;
        } else if self.outage_since.is_none() {
            self.outage_since = Some(unix_seconds());
        }
    }

    fn outage_seconds_until(&self, now: f64) -> f64 {
        self.outage_seconds + self.outage_since.map_or(0.0, |since| now - since)
    }

    /// Polls the leases. A lease that ran out without renewal belonged to a failed replica; the next lease of
    /// its thread is the takeover.
    pub(super) fn poll_leases(&mut self, stack: &Stack) -> Result<()> {
        let rows = stack.query(
            "select tenant_id || ' ' || channel_id || ' ' || thread_ts, coalesce(lease_token::text, ''),
                    coalesce(extract(epoch from wake_at), 0), state from threads where state <> 'idle'",
        )?;
        let now = unix_seconds();
        let mut leases = HashMap::new();
        let mut ready = HashSet::new();
        for row in rows.lines() {
            let columns: Vec<&str> = row.split('|').collect();
            let [thread, token, ends, state] = columns[..] else { continue };
            if state == "ready" {
                ready.insert(thread.to_owned());
            }
            if state == "leased" {
                let seen =
                    LeaseSnapshot { token: token.to_owned(), expires_at: ends.parse().unwrap_or_default() };
                leases.insert(thread.to_owned(), seen);
            }
        }
        for (thread, before) in std::mem::take(&mut self.leases) {
            let is_gone = leases.get(&thread).is_none_or(|lease| lease.token != before.token);
            if is_gone && before.expires_at <= now + POLL_TOLERANCE_SECONDS / 2.0 {
                self.orphaned_threads
                    .extend(self.find_failure_before(before.expires_at).map(|death| (thread, death)));
            }
        }
        let outages = self.outage_seconds_until(now);
        let times = &mut self.takeovers;
        self.orphaned_threads.retain(|thread, death| {
            // A thread that is idle or deferred was taken over and released between two polls.
            let is_taken = !ready.contains(thread);
            if is_taken {
                let seconds = |seconds: f64| Duration::from_secs_f64(seconds.max(0.0));
                let all = now - death.at;
                times.push(Takeover {
                    total: seconds(all),
                    while_reachable: seconds(all - (outages - death.outage_seconds)),
                });
            }
            !is_taken
        });
        self.leases = leases;
        Ok(())
    }

    /// Finds the failure that prevented the renewal of a lease with this end.
    fn find_failure_before(&self, expires_at: f64) -> Option<InstanceFailure> {
        let (first, last) = (
            expires_at - ASSUMED_LEASE_SECONDS - POLL_TOLERANCE_SECONDS,
            expires_at - ASSUMED_LEASE_SECONDS + ASSUMED_RENEW_SECONDS + POLL_TOLERANCE_SECONDS,
        );
        self.failures.iter().copied().find(|death| (first..last).contains(&death.at))
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
