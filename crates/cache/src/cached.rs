//! What is read of a tenant for each answer and seldom changes: kept for `CACHE_TTL`, or until it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use models::TenantId;
use moka::future::Cache;

use crate::shared::Shared;
use crate::stock::{Found, Stock};

/// Bytes that one process keeps, at most.
const CAPACITY: u64 = 64 << 20;

/// Tenants that changed, after which all are forgotten rather than remembering of each that it did.
const CHANGED: usize = 10_000;

/// What is kept of a tenant. It is sealed by whoever loads it: neither this process nor Redis keeps it in plain.
pub type Sealed = Arc<[u8]>;

/// What is kept of tenants, in this process and in the Redis of all replicas. A load that began before a change was heard of
/// stores nothing that is found after it. Nothing is found unless changes are being heard.
pub struct Cached {
    here: Cache<(TenantId, u64), Sealed>,
    generations: Mutex<Generations>,
    stock: Option<Stock>,
    ttl: Duration,
    trusted_until: Mutex<Option<Instant>>,
}

/// Under what a tenant is kept: a change begins another generation, and what is of an earlier one is never found again.
#[derive(Default)]
struct Generations {
    last: u64,
    /// Of those that are not among the changed.
    of_all: u64,
    of_changed: HashMap<TenantId, u64>,
}

/// Why nothing was loaded.
#[derive(Clone)]
enum Missed<E> {
    Absent,
    Failed(Arc<E>),
}

impl Cached {
    /// With no `shared` each process keeps its own. Each of the two keeps for `ttl`; none of them where that is zero.
    pub fn new(shared: Option<Shared>, ttl: Duration) -> Self {
        let size = |(tenant_id, _): &(TenantId, u64), kept: &Sealed| {
            u32::try_from(tenant_id.as_str().len() + kept.len()).unwrap_or(u32::MAX)
        };
        Self {
            here: Cache::builder().max_capacity(CAPACITY).weigher(size).time_to_live(ttl).build(),
            generations: Mutex::default(),
            stock: shared.map(|shared| Stock::new(shared, ttl)),
            ttl,
            trusted_until: Mutex::new(None),
        }
    }

    /// Up to this moment every change was heard of, or will be before it: until then what is kept is believed.
    pub fn trust_until(&self, moment: Instant) {
        *self.trusted_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// Whether what is kept is believed; else whoever asks has to read for themselves.
    pub fn is_trusted(&self) -> bool {
        let until = *self.trusted_until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.ttl.is_zero() && until.is_some_and(|until| Instant::now() < until)
    }

    /// What is kept of a tenant, else what `load` reads; of all who ask at once, one loads. What is absent is not kept.
    ///
    /// # Errors
    /// What the one who loaded met.
    pub async fn find<E: Send + Sync + 'static>(
        &self,
        tenant_id: &TenantId,
        load: impl Future<Output = Result<Option<Vec<u8>>, E>>,
    ) -> Result<Option<Sealed>, Arc<E>> {
        let key = (tenant_id.clone(), self.generations().of(tenant_id));
        let found = self.here.try_get_with(key, async {
            let lease = match self.look_in_stock(tenant_id).await {
                Found::Kept(body) => return Ok(body.into()),
                Found::Lease(lease) => Some(lease),
                Found::Nothing => None,
            };
            let body = load.await.map_err(|error| Missed::Failed(Arc::new(error)))?.ok_or(Missed::Absent)?;
            if let (Some(stock), Some(lease)) = (&self.stock, lease) {
                stock.keep(tenant_id, &lease, &body).await;
            }
            Ok(body.into())
        });
        found.await.map(Some).or_else(|missed: Arc<Missed<E>>| match &*missed {
            Missed::Absent => Ok(None),
            Missed::Failed(error) => Err(Arc::clone(error)),
        })
    }

    async fn look_in_stock(&self, tenant_id: &TenantId) -> Found {
        match &self.stock {
            Some(stock) => stock.find(tenant_id).await,
            None => Found::Nothing,
        }
    }

    /// A tenant has changed. Redis comes first, or this process could find there once more what it has just forgotten.
    pub async fn forget(&self, tenant_id: &TenantId) {
        if let Some(stock) = &self.stock {
            stock.forget(tenant_id).await;
        }
        let before = self.generations().advance(tenant_id);
        self.here.invalidate(&(tenant_id.clone(), before)).await;
    }

    /// Any tenant may have changed: changes were not heard for a while.
    pub async fn forget_all(&self) {
        if let Some(stock) = &self.stock {
            stock.renew().await;
        }
        self.generations().advance_all();
        self.here.invalidate_all();
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn of(&self, tenant_id: &TenantId) -> u64 {
        self.of_changed.get(tenant_id).copied().unwrap_or(self.of_all)
    }

    /// Returns the generation that is over.
    fn advance(&mut self, tenant_id: &TenantId) -> u64 {
        let before = self.of(tenant_id);
        if self.of_changed.len() >= CHANGED {
            self.advance_all();
        }
        self.last += 1;
        self.of_changed.insert(tenant_id.clone(), self.last);
        before
    }

    fn advance_all(&mut self) {
        self.last += 1;
        self.of_all = self.last;
        self.of_changed.clear();
    }
}

#[cfg(test)]
mod tests;
