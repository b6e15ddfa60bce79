//! The leases this process holds: renewed together, and given up as soon as one is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db::threads::{LEASE_SECONDS, Lease};
use db::{Db, DbError};
use models::TenantId;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;

/// A third of the lease: two renewals may fail before it ends.
const RENEWAL: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

/// A Postgres that says nothing is as good as none: what is not renewed in time is lost, and others take it.
const PATIENCE: Duration = Duration::from_secs(1);

/// For so long after Postgres was asked for a lease nobody else has it; the rest of it is for a call's way to Slack.
const SURE_FOR: Duration = Duration::from_millis(LEASE_SECONDS as u64 * 750);

/// What this process works on.
#[derive(Default)]
struct Held {
    /// By their tokens.
    leases: HashMap<Uuid, Confirmed>,
    /// Events in work by their number; each with what is cancelled when somebody stops it.
    events: HashMap<i64, CancellationToken>,
}

struct Confirmed {
    lease: Lease,
    /// Cancelled when it is lost.
    lost: CancellationToken,
    /// When Postgres was last asked for it, and gave it.
    at: Instant,
}

/// The leases of this process. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Leases(Arc<Mutex<Held>>);

/// What may be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Tenants that hold their share.
    pub(super) full: Vec<TenantId>,
    /// So many fit into the share of any other.
    pub(super) each: usize,
}

/// A lease in use; it is no longer renewed once this is dropped.
pub(crate) struct HeldLease {
    pub(crate) lease: Lease,
    /// Cancelled when another worker may have the thread.
    pub(super) lost: CancellationToken,
    leases: Leases,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.leases.with(|held| held.leases.remove(&self.lease.token));
    }
}

/// An event that can be stopped; no longer once this is dropped.
pub(super) struct Stoppable {
    pub(super) stop: CancellationToken,
    seq: i64,
    leases: Leases,
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.leases.with(|held| held.events.remove(&self.seq));
    }
}

impl HeldLease {
    /// Whether nobody else can have the thread yet, as far as this process knows; for calls that are about to go out.
    pub(crate) fn hold(&self) -> slack::Hold {
        let (leases, token) = (self.leases.clone(), self.lease.token);
        slack::Hold::new(move || {
            leases.with(|held| held.leases.get(&token).is_some_and(|lease| lease.at.elapsed() < SURE_FOR))
        })
    }

    /// It was renewed in a transaction that began then.
    pub(crate) fn confirm(&self, at: Instant) {
        self.leases.confirm(&[self.lease.token], at);
    }

    /// From now on the event can be stopped.
    pub(super) fn stoppable(&self, seq: i64) -> Stoppable {
        let stop = CancellationToken::new();
        self.leases.with(|held| held.events.insert(seq, stop.clone()));
        Stoppable { stop, seq, leases: self.leases.clone() }
    }
}

impl Leases {
    /// A lease that was asked for at this time.
    pub(super) fn hold(&self, lease: Lease, at: Instant) -> HeldLease {
        let lost = CancellationToken::new();
        let confirmed = Confirmed { lease: lease.clone(), lost: lost.clone(), at };
        self.with(|held| held.leases.insert(lease.token, confirmed));
        HeldLease { lease, lost, leases: self.clone() }
    }

    fn confirm(&self, tokens: &[Uuid], at: Instant) {
        self.with(|held| {
            for token in tokens {
                if let Some(lease) = held.leases.get_mut(token) {
                    lease.at = lease.at.max(at);
                }
            }
        });
    }

    /// What may be claimed by the share of each tenant, which is all but an eighth of the slots that others do not hold:
    /// one whose answers are slow leaves room for the next, who leaves some of it again.
    pub(super) fn room(&self, slots: usize) -> Room {
        let mut held_by = HashMap::<TenantId, usize>::new();
        let all = self.with(|held| {
            for Confirmed { lease, .. } in held.leases.values() {
                *held_by.entry(lease.tenant_id.clone()).or_default() += 1;
            }
            held.leases.len()
        });
        let mut room = Room { full: Vec::new(), each: share(slots.saturating_sub(all)) };
        for (tenant_id, own) in held_by {
            match share(slots.saturating_sub(all - own)).saturating_sub(own) {
                0 => room.full.push(tenant_id),
                left => room.each = room.each.min(left),
            }
        }
        room
    }

    /// Renews what is held, for as long as it runs.
    pub(super) async fn keep(self, app: Arc<App>) {
        let mut ticks = interval(RENEWAL);
        let mut renewed_at = Instant::now();
        loop {
            ticks.tick().await;
            let tokens: Vec<Uuid> = self.with(|held| held.leases.keys().copied().collect());
            let asked_at = Instant::now();
            match timeout(PATIENCE, renew(&app.db, &tokens)).await {
                Ok(Ok(still_held)) => {
                    renewed_at = asked_at;
                    self.confirm(&still_held, asked_at);
                    self.lose(tokens.into_iter().filter(|token| !still_held.contains(token)));
                }
                failed => {
                    tracing::warn!(error = ?failed, "leases cannot be renewed");
                    if renewed_at.elapsed() > Duration::from_secs(LEASE_SECONDS.unsigned_abs().into()) {
                        self.lose(tokens.into_iter());
                    }
                }
            }
            let _ = timeout(PATIENCE, self.stop_unheard(&app.db)).await;
        }
    }

    /// Stops the work on an event, if it is done here.
    pub(super) fn stop(&self, seq: i64) {
        if let Some(stop) = self.with(|held| held.events.get(&seq).cloned()) {
            stop.cancel();
        }
    }

    /// A notice may be lost; what it said is stored.
    async fn stop_unheard(&self, db: &Db) {
        let seqs: Vec<i64> = self.with(|held| held.events.keys().copied().collect());
        if seqs.is_empty() {
            return;
        }
        let stopped = async { db::events::list_stopped(&mut db.begin_for_all().await?, &seqs).await };
        match stopped.await {
            Ok(stopped) => stopped.into_iter().for_each(|seq| self.stop(seq)),
            Err(error) => tracing::warn!(error = %error, "whether anything was stopped cannot be seen"),
        }
    }

    /// Lets everything go at once, for other replicas to take over.
    pub(super) async fn hand_back(&self, db: &Db) {
        let held: Vec<Lease> =
            self.with(|held| held.leases.values().map(|held| held.lease.clone()).collect());
        self.lose(held.iter().map(|lease| lease.token).collect::<Vec<_>>().into_iter());
        for lease in held {
            if let Err(error) = release(db, &lease).await {
                tracing::warn!(error = %error, "a thread could not be handed back; its lease will run out");
            }
        }
    }

    fn lose(&self, tokens: impl Iterator<Item = Uuid>) {
        let lost: Vec<_> = self.with(|held| tokens.filter_map(|token| held.leases.remove(&token)).collect());
        for one in lost {
            one.lost.cancel();
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All but an eighth, and of few slots all but none.
fn share(slots: usize) -> usize {
    slots - slots / 8
}

async fn renew(db: &Db, tokens: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = db.begin_for_all().await?;
    let still_held = db::threads::renew(&mut tx, tokens).await?;
    tx.commit().await?;
    Ok(still_held)
}

async fn release(db: &Db, lease: &Lease) -> Result<(), DbError> {
    let mut tx = db.begin(&lease.tenant_id).await?;
    db::threads::release(&mut tx, lease).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use models::ThreadKey;

    use super::*;

    fn hold(leases: &Leases, tenant: &str, count: usize) -> Vec<HeldLease> {
        let thread = ThreadKey { channel_id: "D1".into(), thread_ts: "1.2".into() };
        let lease = || Lease { tenant_id: tenant.into(), thread: thread.clone(), token: Uuid::new_v4() };
        (0..count).map(|_| leases.hold(lease(), Instant::now())).collect()
    }

    #[test]
    fn a_tenant_leaves_an_eighth_of_what_others_do_not_hold() {
        let leases = Leases::default();
        assert_eq!(leases.room(64), Room { full: vec![], each: 56 });
        let _some = hold(&leases, "T1", 50);
        assert_eq!(leases.room(64), Room { full: vec![], each: 6 });
        let _rest = hold(&leases, "T1", 6);
        assert_eq!(leases.room(64), Room { full: vec!["T1".into()], each: 7 });
        let _others = hold(&leases, "T2", 7);
        assert_eq!(leases.room(64).full.len(), 2);
        assert_eq!(leases.room(64).each, 1);
    }

    #[test]
    fn of_few_slots_none_is_left_unused() {
        assert_eq!([1, 2, 7, 8].map(share), [1, 2, 7, 7]);
    }
}
