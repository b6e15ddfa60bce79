//! The leases this process holds: renewed together, and given up as soon as one is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db::threads::{LEASE_SECONDS, Lease};
use db::{Db, DbError};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;

/// A third of the lease: two renewals may fail before it ends.
const RENEWAL: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

type Held = HashMap<Uuid, (Lease, CancellationToken)>;

/// The leases of this process. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Leases(Arc<Mutex<Held>>);

/// A lease in use; it is no longer renewed once this is dropped.
pub(super) struct HeldLease {
    pub(super) lease: Lease,
    /// Cancelled when another worker may have the thread.
    pub(super) lost: CancellationToken,
    leases: Leases,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.leases.with(|held| held.remove(&self.lease.token));
    }
}

impl Leases {
    pub(super) fn hold(&self, lease: Lease) -> HeldLease {
        let lost = CancellationToken::new();
        self.with(|held| held.insert(lease.token, (lease.clone(), lost.clone())));
        HeldLease { lease, lost, leases: self.clone() }
    }

    /// Renews what is held, for as long as it runs.
    pub(super) async fn keep(self, app: Arc<App>) {
        let mut ticks = interval(RENEWAL);
        let mut renewed_at = Instant::now();
        loop {
            ticks.tick().await;
            let tokens: Vec<Uuid> = self.with(|held| held.keys().copied().collect());
            let asked_at = Instant::now();
            match renew(&app.db, &tokens).await {
                Ok(still_held) => {
                    renewed_at = asked_at;
                    self.lose(tokens.into_iter().filter(|token| !still_held.contains(token)));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "leases cannot be renewed");
                    if renewed_at.elapsed() > Duration::from_secs(LEASE_SECONDS.unsigned_abs().into()) {
                        self.lose(tokens.into_iter());
                    }
                }
            }
        }
    }

    /// Lets everything go at once, for other replicas to take over.
    pub(super) async fn hand_back(&self, db: &Db) {
        let held: Vec<Lease> = self.with(|held| held.values().map(|(lease, _)| lease.clone()).collect());
        self.lose(held.iter().map(|lease| lease.token).collect::<Vec<_>>().into_iter());
        for lease in held {
            if let Err(error) = release(db, &lease).await {
                tracing::warn!(error = %error, "a thread could not be handed back; its lease will run out");
            }
        }
    }

    fn lose(&self, tokens: impl Iterator<Item = Uuid>) {
        let lost: Vec<_> = self.with(|held| tokens.filter_map(|token| held.remove(&token)).collect());
        for (_, lost) in lost {
            lost.cancel();
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn renew(db: &Db, tokens: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = db.begin().await?;
    let still_held = db::threads::renew(&mut tx, tokens).await?;
    tx.commit().await?;
    Ok(still_held)
}

async fn release(db: &Db, lease: &Lease) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    db::threads::release(&mut tx, lease).await?;
    tx.commit().await
}
