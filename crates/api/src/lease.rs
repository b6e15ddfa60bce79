//! The leases on threads that this process holds. They are renewed together, and given up as soon as one is
//! lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db::threads::{Lease, THREAD_LEASE_SECONDS};
use db::{Db, DbError};
use models::TenantId;
use slack::SendGuard;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A third of the lease: two renewals may fail before it ends.
const LEASE_RENEW_INTERVAL: Duration = Duration::from_secs(THREAD_LEASE_SECONDS as u64 / 3);

/// The time that a renewal may take. A lease that is not renewed in time is lost, and another replica takes
/// it.
const LEASE_RENEW_TIMEOUT: Duration = Duration::from_secs(1);

/// The time after a renewal was requested in which a call to Slack may still be sent. The rest of the lease
/// is for the call's way to Slack.
const LEASE_SEND_WINDOW: Duration = Duration::from_millis(THREAD_LEASE_SECONDS as u64 * 750);

/// The leases of this process. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct LeaseRegistry(Arc<Mutex<LeaseTable>>);

#[derive(Default)]
struct LeaseTable {
    /// By their tokens.
    leases: HashMap<Uuid, ConfirmedLease>,
    /// Events in progress by their number, each with the token that a stop cancels.
    running_events: HashMap<i64, CancellationToken>,
}

struct ConfirmedLease {
    lease: Lease,
    /// Cancelled when the lease is lost.
    lost: CancellationToken,
    /// The time at which the last successful renewal was requested.
    confirmed_at: Instant,
}

/// The leases that a replica may claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClaimQuota {
    /// Tenants that already hold their share.
    pub(crate) full_tenants: Vec<TenantId>,
    /// The number of leases that fit into the share of every other tenant.
    pub(crate) per_tenant: usize,
}

/// A lease in use. It is no longer renewed once this is dropped.
pub(crate) struct LeaseHandle {
    pub(crate) lease: Lease,
    /// Cancelled when another worker may have the thread.
    pub(crate) lost: CancellationToken,
    registry: LeaseRegistry,
}

impl Drop for LeaseHandle {
    fn drop(&mut self) {
        self.registry.with_table(|table| table.leases.remove(&self.lease.token));
    }
}

/// An event that can be stopped until this is dropped.
pub(crate) struct StopRegistration {
    pub(crate) stop: CancellationToken,
    seq: i64,
    registry: LeaseRegistry,
}

impl Drop for StopRegistration {
    fn drop(&mut self) {
        self.registry.with_table(|table| table.running_events.remove(&self.seq));
    }
}

impl LeaseHandle {
    /// Returns a guard that lets calls to Slack out only while no other worker can have the thread.
    pub(crate) fn send_guard(&self) -> SendGuard {
        let (registry, token) = (self.registry.clone(), self.lease.token);
        SendGuard::new(move || {
            registry.with_table(|table| {
                table.leases.get(&token).is_some_and(|lease| lease.confirmed_at.elapsed() < LEASE_SEND_WINDOW)
            })
        })
    }

    /// Records a renewal by a transaction that began at this time.
    pub(crate) fn confirm_renewal(&self, at: Instant) {
        self.registry.confirm_renewals(&[self.lease.token], at);
    }

    /// Makes the event stoppable.
    pub(crate) fn register_stop(&self, seq: i64) -> StopRegistration {
        let stop = CancellationToken::new();
        self.registry.with_table(|table| table.running_events.insert(seq, stop.clone()));
        StopRegistration { stop, seq, registry: self.registry.clone() }
    }
}

impl LeaseRegistry {
    /// Adds a lease that was requested at this time.
    pub(crate) fn register(&self, lease: Lease, at: Instant) -> LeaseHandle {
        let lost = CancellationToken::new();
        let confirmed = ConfirmedLease { lease: lease.clone(), lost: lost.clone(), confirmed_at: at };
        self.with_table(|table| table.leases.insert(lease.token, confirmed));
        LeaseHandle { lease, lost, registry: self.clone() }
    }

    fn confirm_renewals(&self, tokens: &[Uuid], at: Instant) {
        self.with_table(|table| {
            for token in tokens {
                if let Some(lease) = table.leases.get_mut(token) {
                    lease.confirmed_at = lease.confirmed_at.max(at);
                }
            }
        });
    }

    /// Returns the quota by the tenants' shares. A tenant's share is seven eighths of the slots that the
    /// others do not hold, so one tenant with slow answers always leaves slots to the next.
    pub(crate) fn claim_quota(&self, slots: usize) -> ClaimQuota {
        let mut held_by = HashMap::<TenantId, usize>::new();
        let total = self.with_table(|table| {
            for ConfirmedLease { lease, .. } in table.leases.values() {
                *held_by.entry(lease.tenant_id.clone()).or_default() += 1;
            }
            table.leases.len()
        });
        let per_tenant = tenant_share(slots.saturating_sub(total));
        let mut quota = ClaimQuota { full_tenants: Vec::new(), per_tenant };
        for (tenant_id, own) in held_by {
            match tenant_share(slots.saturating_sub(total - own)).saturating_sub(own) {
                0 => quota.full_tenants.push(tenant_id),
                left => quota.per_tenant = quota.per_tenant.min(left),
            }
        }
        quota
    }

    /// Renews the leases at an interval. Never returns.
    pub(crate) async fn run_renew_loop(self, db: Db) {
        let mut ticks = interval(LEASE_RENEW_INTERVAL);
        let mut renewed_at = Instant::now();
        loop {
            ticks.tick().await;
            let tokens: Vec<Uuid> = self.with_table(|table| table.leases.keys().copied().collect());
            let requested_at = Instant::now();
            match timeout(LEASE_RENEW_TIMEOUT, renew_leases(&db, &tokens)).await {
                Ok(Ok(still_held)) => {
                    renewed_at = requested_at;
                    self.confirm_renewals(&still_held, requested_at);
                    self.revoke_leases(tokens.into_iter().filter(|token| !still_held.contains(token)));
                }
                failed => {
                    tracing::warn!(error = ?failed, "lease renewal failed");
                    let lease_time = Duration::from_secs(THREAD_LEASE_SECONDS.unsigned_abs().into());
                    if renewed_at.elapsed() > lease_time {
                        self.revoke_leases(tokens.into_iter());
                    }
                }
            }
            let _ = timeout(LEASE_RENEW_TIMEOUT, self.poll_stop_requests(&db)).await;
        }
    }

    /// Stops the work on an event, if this process does it.
    pub(crate) fn cancel_event(&self, seq: i64) {
        if let Some(stop) = self.with_table(|table| table.running_events.get(&seq).cloned()) {
            stop.cancel();
        }
    }

    /// Looks for stop requests whose notification was lost.
    async fn poll_stop_requests(&self, db: &Db) {
        let seqs: Vec<i64> = self.with_table(|table| table.running_events.keys().copied().collect());
        if seqs.is_empty() {
            return;
        }
        let stopped = async { db::events::list_stopped(&mut db.begin_cross_tenant().await?, &seqs).await };
        match stopped.await {
            Ok(stopped) => stopped.into_iter().for_each(|seq| self.cancel_event(seq)),
            Err(error) => tracing::warn!(error = %error, "stop request query failed"),
        }
    }

    /// Releases every lease at once, for other replicas to take over.
    pub(crate) async fn release_all(&self, db: &Db) {
        let held: Vec<Lease> =
            self.with_table(|table| table.leases.values().map(|held| held.lease.clone()).collect());
        self.revoke_leases(held.iter().map(|lease| lease.token).collect::<Vec<_>>().into_iter());
        for lease in held {
            if let Err(error) = release_lease(db, &lease).await {
                tracing::warn!(error = %error, "lease release failed; the lease will expire");
            }
        }
    }

    fn revoke_leases(&self, tokens: impl Iterator<Item = Uuid>) {
        let revoked: Vec<ConfirmedLease> =
            self.with_table(|table| tokens.filter_map(|token| table.leases.remove(&token)).collect());
        for lease in revoked {
            lease.lost.cancel();
        }
    }

    fn with_table<T>(&self, action: impl FnOnce(&mut LeaseTable) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns seven eighths of the slots, rounded up.
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
