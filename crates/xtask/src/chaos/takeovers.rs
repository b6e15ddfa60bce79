//! How long a thread waits after the death of the replica that answered in it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::stack::Stack;

/// Seconds that a lease holds, and between two of its renewals.
const LEASE: f64 = 6.0;
const RENEWAL: f64 = 2.0;

/// How far the times of two looks may be apart.
const SLACK: f64 = 1.0;

/// A lease as it was last seen.
struct Seen {
    token: String,
    ends: f64,
}

/// The end of a replica, or a moment from which on it stands still.
#[derive(Clone, Copy)]
struct Death {
    at: f64,
    /// Seconds without Postgres until then.
    outages: f64,
}

/// How long a thread waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    pub(super) all: Duration,
    /// Without the time in which Postgres could not be reached, by nobody.
    pub(super) reachable: Duration,
}

#[derive(Default)]
pub(super) struct Takeovers {
    deaths: Vec<Death>,
    leases: HashMap<String, Seen>,
    /// Threads whose lease ran out, by the death that this followed.
    orphans: HashMap<String, Death>,
    /// Seconds without Postgres, and since when, if it is away.
    outages: f64,
    away_since: Option<f64>,
    pub(super) times: Vec<Takeover>,
}

impl Takeovers {
    /// A replica has just died, or stands still.
    pub(super) fn note_death(&mut self) {
        self.deaths.push(Death { at: now(), outages: self.outages_until(now()) });
    }

    /// Whether Postgres can be reached by the way that replicas take.
    pub(super) fn note_postgres(&mut self, is_reachable: bool) {
        if is_reachable {
            self.outages = self.outages_until(now());
            self.away_since = None;
        } else if self.away_since.is_none() {
            self.away_since = Some(now());
        }
    }

    fn outages_until(&self, now: f64) -> f64 {
        self.outages + self.away_since.map_or(0.0, |since| now - since)
    }

    /// Looks at the leases: one that ran out without being renewed was a dead replica's, and the next lease on its
    /// thread is the takeover.
    pub(super) fn look(&mut self, stack: &Stack) -> Result<()> {
        let rows = stack.ask(
            "select tenant_id || ' ' || channel_id || ' ' || thread_ts, coalesce(lease_token::text, ''),
                    coalesce(extract(epoch from wake_at), 0), state from threads where state <> 'idle'",
        )?;
        let now = now();
        let mut leases = HashMap::new();
        let mut ready = HashSet::new();
        for row in rows.lines() {
            let columns: Vec<&str> = row.split('|').collect();
            let [thread, token, ends, state] = columns[..] else { continue };
            if state == "ready" {
                ready.insert(thread.to_owned());
            }
            if state == "leased" {
                let seen = Seen { token: token.to_owned(), ends: ends.parse().unwrap_or_default() };
                leases.insert(thread.to_owned(), seen);
            }
        }
        for (thread, before) in std::mem::take(&mut self.leases) {
            let is_gone = leases.get(&thread).is_none_or(|lease| lease.token != before.token);
            if is_gone && before.ends <= now + SLACK / 2.0 {
                self.orphans.extend(self.death_before(before.ends).map(|death| (thread, death)));
            }
        }
        let outages = self.outages_until(now);
        let times = &mut self.times;
        self.orphans.retain(|thread, death| {
            // A thread that rests, or was put off, was taken over and let go again between two looks.
            let is_taken = !ready.contains(thread);
            if is_taken {
                let seconds = |seconds: f64| Duration::from_secs_f64(seconds.max(0.0));
                let all = now - death.at;
                times.push(Takeover {
                    all: seconds(all),
                    reachable: seconds(all - (outages - death.outages)),
                });
            }
            !is_taken
        });
        self.leases = leases;
        Ok(())
    }

    /// The death because of which a lease with this end was not renewed.
    fn death_before(&self, ends: f64) -> Option<Death> {
        let (first, last) = (ends - LEASE - SLACK, ends - LEASE + RENEWAL + SLACK);
        self.deaths.iter().copied().find(|death| (first..last).contains(&death.at))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
