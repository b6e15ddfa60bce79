//! How long a thread waits after the death of the replica that answered in it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::stack::Stack;

/// Seconds that a lease holds, and between two of its renewals.
const ASSUMED_LEASE_SECONDS: f64 = 6.0;
const ASSUMED_RENEW_SECONDS: f64 = 2.0;

/// How far the times of two looks may be apart.
const POLL_TOLERANCE_SECONDS: f64 = 1.0;

/// A lease as it was last seen.
struct LeaseSnapshot {
    token: String,
    expires_at: f64,
}

/// The end of a replica, or a moment from which on it stands still.
#[derive(Clone, Copy)]
struct InstanceFailure {
    at: f64,
    /// Seconds without Postgres until then.
    outage_seconds: f64,
}

/// How long a thread waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    pub(super) total: Duration,
    /// Without the time in which Postgres could not be reached, by nobody.
    pub(super) while_reachable: Duration,
}

#[derive(Default)]
pub(super) struct TakeoverTracker {
    failures: Vec<InstanceFailure>,
    leases: HashMap<String, LeaseSnapshot>,
    /// Threads whose lease ran out, by the death that this followed.
    orphaned_threads: HashMap<String, InstanceFailure>,
    /// Seconds without Postgres, and since when, if it is away.
    outage_seconds: f64,
    outage_since: Option<f64>,
    pub(super) takeovers: Vec<Takeover>,
}

impl TakeoverTracker {
    /// A replica has just died, or stands still.
    pub(super) fn record_failure(&mut self) {
        self.failures.push(InstanceFailure {
            at: unix_seconds(),
            outage_seconds: self.outage_seconds_until(unix_seconds()),
        });
    }

    /// Whether Postgres can be reached by the way that replicas take.
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

    /// Looks at the leases: one that ran out without being renewed was a dead replica's, and the next lease on its
    /// thread is the takeover.
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
            // A thread that rests, or was put off, was taken over and let go again between two looks.
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

    /// The death because of which a lease with this end was not renewed.
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
