//! The leases this process holds: renewed together, and given up as soon as one is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db::threads::{Lease, THREAD_LEASE_SECONDS};
use db::{Db, DbError};
use models::TenantId;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::state::ApiState;

/// A third of the lease: two renewals may fail before it ends.
const LEASE_RENEW_INTERVAL: Duration = Duration::from_secs(THREAD_LEASE_SECONDS as u64 / 3);

/// A Postgres that says nothing is as good as none: what is not renewed in time is lost, and others take it.
const LEASE_RENEW_TIMEOUT: Duration = Duration::from_secs(1);

/// For so long after Postgres was asked for a lease nobody else has it; the rest of it is for a call's way to Slack.
const LEASE_SEND_WINDOW: Duration = Duration::from_millis(THREAD_LEASE_SECONDS as u64 * 750);

/// What this process works on.
#[derive(Default)]
struct LeaseTable {
    /// By their tokens.
    leases: HashMap<Uuid, ConfirmedLease>,
    /// Events in work by their number; each with what is cancelled when somebody stops it.
    running_events: HashMap<i64, CancellationToken>,
}

struct ConfirmedLease {
    lease: Lease,
    /// Cancelled when it is lost.
    lost: CancellationToken,
    /// When Postgres was last asked for it, and gave it.
    confirmed_at: Instant,
}

/// The leases of this process. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LeaseRegistry(Arc<Mutex<LeaseTable>>);

/// What may be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClaimQuota {
    /// Tenants that hold their share.
    pub(super) full_tenants: Vec<TenantId>,
    /// So many fit into the share of any other.
    pub(super) per_tenant: usize,
}

/// A lease in use; it is no longer renewed once this is dropped.
pub(crate) struct LeaseHandle {
    pub(crate) lease: Lease,
    /// Cancelled when another worker may have the thread.
    pub(super) lost: CancellationToken,
    leases: LeaseRegistry,
}

impl Drop for LeaseHandle {
    fn drop(&mut self) {
        self.leases.with_table(|held| held.leases.remove(&self.lease.token));
    }
}

/// An event that can be stopped; no longer once this is dropped.
pub(super) struct StopRegistration {
    pub(super) stop_token: CancellationToken,
    seq: i64,
    leases: LeaseRegistry,
}

impl Drop for StopRegistration {
    fn drop(&mut self) {
        self.leases.with_table(|held| held.running_events.remove(&self.seq));
    }
}

impl LeaseHandle {
    /// Whether nobody else can have the thread yet, as far as this process knows; for calls that are about to go out.
    pub(crate) fn send_guard(&self) -> slack::SendGuard {
        let (leases, token) = (self.leases.clone(), self.lease.token);
        slack::SendGuard::new(move || {
            leases.with_table(|held| {
                held.leases.get(&token).is_some_and(|lease| lease.confirmed_at.elapsed() < LEASE_SEND_WINDOW)
            })
        })
    }

    /// It was renewed in a transaction that began then.
    pub(crate) fn confirm_renewal(&self, at: Instant) {
        self.leases.confirm_renewals(&[self.lease.token], at);
    }

    /// From now on the event can be stopped.
    pub(super) fn register_stop(&self, seq: i64) -> StopRegistration {
        let stop = CancellationToken::new();
        self.leases.with_table(|held| held.running_events.insert(seq, stop.clone()));
        StopRegistration { stop_token: stop, seq, leases: self.leases.clone() }
    }
}

impl LeaseRegistry {
    /// A lease that was asked for at this time.
    pub(super) fn register(&self, lease: Lease, at: Instant) -> LeaseHandle {
        let lost = CancellationToken::new();
        let confirmed = ConfirmedLease { lease: lease.clone(), lost: lost.clone(), confirmed_at: at };
        self.with_table(|held| held.leases.insert(lease.token, confirmed));
        LeaseHandle { lease, lost, leases: self.clone() }
    }

    fn confirm_renewals(&self, tokens: &[Uuid], at: Instant) {
        self.with_table(|held| {
            for token in tokens {
                if let Some(lease) = held.leases.get_mut(token) {
                    lease.confirmed_at = lease.confirmed_at.max(at);
                }
            }
        });
    }

    /// What may be claimed by the share of each tenant, which is all but an eighth of the slots that others do not hold:
    /// one whose answers are slow leaves room for the next, who leaves some of it again.
    pub(super) fn claim_quota(&self, slots: usize) -> ClaimQuota {
        let mut held_by = HashMap::<TenantId, usize>::new();
        let all = self.with_table(|held| {
            for ConfirmedLease { lease, .. } in held.leases.values() {
                *held_by.entry(lease.tenant_id.clone()).or_default() += 1;
            }
            held.leases.len()
        });
        let mut room =
            ClaimQuota { full_tenants: Vec::new(), per_tenant: tenant_share(slots.saturating_sub(all)) };
        for (tenant_id, own) in held_by {
            match tenant_share(slots.saturating_sub(all - own)).saturating_sub(own) {
                0 => room.full_tenants.push(tenant_id),
                left => room.per_tenant = room.per_tenant.min(left),
            }
        }
        room
    }

    /// Renews what is held, for as long as it runs.
    pub(super) async fn run_renew_loop(self, app: Arc<ApiState>) {
        let mut ticks = interval(LEASE_RENEW_INTERVAL);
        let mut renewed_at = Instant::now();
        loop {
            ticks.tick().await;
            let tokens: Vec<Uuid> = self.with_table(|held| held.leases.keys().copied().collect());
            let asked_at = Instant::now();
            match timeout(LEASE_RENEW_TIMEOUT, renew_leases(&app.db, &tokens)).await {
                Ok(Ok(still_held)) => {
                    renewed_at = asked_at;
                    self.confirm_renewals(&still_held, asked_at);
                    self.revoke_leases(tokens.into_iter().filter(|token| !still_held.contains(token)));
                }
                failed => {
                    tracing::warn!(error = ?failed, "leases cannot be renewed");
                    if renewed_at.elapsed() > Duration::from_secs(THREAD_LEASE_SECONDS.unsigned_abs().into())
                    {
                        self.revoke_leases(tokens.into_iter());
                    }
                }
            }
            let _ = timeout(LEASE_RENEW_TIMEOUT, self.poll_stop_requests(&app.db)).await;
        }
    }

    /// Stops the work on an event, if it is done here.
    pub(super) fn cancel_event(&self, seq: i64) {
        if let Some(stop) = self.with_table(|held| held.running_events.get(&seq).cloned()) {
            stop.cancel();
        }
    }

    /// A notice may be lost; what it said is stored.
    async fn poll_stop_requests(&self, db: &Db) {
        let seqs: Vec<i64> = self.with_table(|held| held.running_events.keys().copied().collect());
        if seqs.is_empty() {
            return;
        }
        let stopped = async { db::events::list_stopped(&mut db.begin_cross_tenant().await?, &seqs).await };
        match stopped.await {
            Ok(stopped) => stopped.into_iter().for_each(|seq| self.cancel_event(seq)),
            Err(error) => tracing::warn!(error = %error, "whether anything was stopped cannot be seen"),
        }
    }

    /// Lets everything go at once, for other replicas to take over.
    pub(super) async fn release_all(&self, db: &Db) {
        let held: Vec<Lease> =
            self.with_table(|held| held.leases.values().map(|held| held.lease.clone()).collect());
        self.revoke_leases(held.iter().map(|lease| lease.token).collect::<Vec<_>>().into_iter());
        for lease in held {
            if let Err(error) = release_lease(db, &lease).await {
                tracing::warn!(error = %error, "a thread could not be handed back; its lease will run out");
            }
        }
    }

    fn revoke_leases(&self, tokens: impl Iterator<Item = Uuid>) {
        let lost: Vec<_> =
            self.with_table(|held| tokens.filter_map(|token| held.leases.remove(&token)).collect());
        for one in lost {
            one.lost.cancel();
        }
    }

    fn with_table<T>(&self, action: impl FnOnce(&mut LeaseTable) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All but an eighth, and of few slots all but none.
fn tenant_share(slots: usize) -> usize {
    slots - slots / 8
}

async fn renew_leases(db: &Db, tokens: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = db.begin_cross_tenant().await?;
    let still_held = db::threads::renew(&mut tx, tokens).await?;
    tx.commit().await?;
    Ok(still_held)
}

async fn release_lease(db: &Db, lease: &Lease) -> Result<(), DbError> {
    let mut tx = db.begin(&lease.tenant_id).await?;
    db::threads::release(&mut tx, lease).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use models::ThreadKey;

    use super::*;

    fn register_leases(leases: &LeaseRegistry, tenant: &str, count: usize) -> Vec<LeaseHandle> {
        let thread = ThreadKey { channel_id: "D1".into(), thread_ts: "1.2".into() };
        let lease = || Lease { tenant_id: tenant.into(), thread: thread.clone(), token: Uuid::new_v4() };
        (0..count).map(|_| leases.register(lease(), Instant::now())).collect()
    }

    #[test]
    fn tenant_leaves_one_eighth_of_free_slots() {
        let leases = LeaseRegistry::default();
        assert_eq!(leases.claim_quota(64), ClaimQuota { full_tenants: vec![], per_tenant: 56 });
        let _some = register_leases(&leases, "T1", 50);
        assert_eq!(leases.claim_quota(64), ClaimQuota { full_tenants: vec![], per_tenant: 6 });
        let _rest = register_leases(&leases, "T1", 6);
        assert_eq!(leases.claim_quota(64), ClaimQuota { full_tenants: vec!["T1".into()], per_tenant: 7 });
        let _others = register_leases(&leases, "T2", 7);
        assert_eq!(leases.claim_quota(64).full_tenants.len(), 2);
        assert_eq!(leases.claim_quota(64).per_tenant, 1);
    }

    #[test]
    fn few_slots_are_all_used() {
        assert_eq!([1, 2, 7, 8].map(tenant_share), [1, 2, 7, 7]);
    }
}
