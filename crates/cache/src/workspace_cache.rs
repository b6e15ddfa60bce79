//! What is read of a tenant for each answer and seldom changes: kept for `CACHE_TTL`, or until it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use models::TenantId;
use moka::future::Cache;

use crate::redis_cache::{Lookup, RedisCache};
use crate::redis_client::RedisClient;

/// Bytes that one process keeps, at most.
const MAX_CACHE_BYTES: u64 = 64 << 20;

/// Tenants that changed, after which all are forgotten rather than remembering of each that it did.
const MAX_CHANGED_TENANTS: usize = 10_000;

/// What is kept of a tenant. It is sealed by whoever loads it: neither this process nor Redis keeps it in plain.
pub type SealedBytes = Arc<[u8]>;

/// What is kept of tenants, in this process and in the Redis of all replicas. A load that began before a change was heard of
/// stores nothing that is found after it. Nothing is found unless changes are being heard.
pub struct WorkspaceCache {
    local: Cache<(TenantId, u64), SealedBytes>,
    generations: Mutex<Generations>,
    redis_cache: Option<RedisCache>,
    ttl: Duration,
    valid_until: Mutex<Option<Instant>>,
}

/// Under what a tenant is kept: a change begins another generation, and what is of an earlier one is never found again.
#[derive(Default)]
struct Generations {
    last: u64,
    /// Of those that are not among the changed.
    base: u64,
    changed: HashMap<TenantId, u64>,
}

/// Why nothing was loaded.
#[derive(Clone)]
enum LoadMiss<E> {
    Absent,
    Failed(Arc<E>),
}

impl WorkspaceCache {
    /// With no `shared` each process keeps its own. Each of the two keeps for `ttl`; none of them where that is zero.
    pub fn new(shared: Option<RedisClient>, ttl: Duration) -> Self {
        let size = |(tenant_id, _): &(TenantId, u64), kept: &SealedBytes| {
            u32::try_from(tenant_id.as_str().len() + kept.len()).unwrap_or(u32::MAX)
        };
        Self {
            local: Cache::builder().max_capacity(MAX_CACHE_BYTES).weigher(size).time_to_live(ttl).build(),
            generations: Mutex::default(),
            redis_cache: shared.map(|shared| RedisCache::new(shared, ttl)),
            ttl,
            valid_until: Mutex::new(None),
        }
    }

    /// Up to this moment every change was heard of, or will be before it: until then what is kept is believed.
    pub fn set_valid_until(&self, moment: Instant) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// Whether what is kept is believed; else whoever asks has to read for themselves.
    pub fn is_valid(&self) -> bool {
        let until = *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.ttl.is_zero() && until.is_some_and(|until| Instant::now() < until)
    }

    /// What is kept of a tenant, else what `load` reads; of all who ask at once, one loads. What is absent is not kept.
    ///
    /// # Errors
    /// What the one who loaded met.
    pub async fn get_or_load<E: Send + Sync + 'static>(
        &self,
        tenant_id: &TenantId,
        load: impl Future<Output = Result<Option<Vec<u8>>, E>>,
    ) -> Result<Option<SealedBytes>, Arc<E>> {
        let key = (tenant_id.clone(), self.generations().current(tenant_id));
        let found = self.local.try_get_with(key, async {
            let lease = match self.lookup_in_redis(tenant_id).await {
                Lookup::Hit(body) => return Ok(body.into()),
                Lookup::LoadLease(lease) => Some(lease),
                Lookup::Unavailable => None,
            };
            let body =
                load.await.map_err(|error| LoadMiss::Failed(Arc::new(error)))?.ok_or(LoadMiss::Absent)?;
            if let (Some(stock), Some(lease)) = (&self.redis_cache, lease) {
                stock.put(tenant_id, &lease, &body).await;
            }
            Ok(body.into())
        });
        found.await.map(Some).or_else(|missed: Arc<LoadMiss<E>>| match &*missed {
            LoadMiss::Absent => Ok(None),
            LoadMiss::Failed(error) => Err(Arc::clone(error)),
        })
    }

    async fn lookup_in_redis(&self, tenant_id: &TenantId) -> Lookup {
        match &self.redis_cache {
            Some(stock) => stock.get(tenant_id).await,
            None => Lookup::Unavailable,
        }
    }

    /// A tenant has changed. Redis comes first, or this process could find there once more what it has just forgotten.
    pub async fn invalidate(&self, tenant_id: &TenantId) {
        if let Some(stock) = &self.redis_cache {
            stock.invalidate(tenant_id).await;
        }
        let before = self.generations().advance(tenant_id);
        self.local.invalidate(&(tenant_id.clone(), before)).await;
    }

    /// Any tenant may have changed: changes were not heard for a while.
    pub async fn invalidate_all(&self) {
        if let Some(stock) = &self.redis_cache {
            stock.invalidate_all().await;
        }
        self.generations().advance_all();
        self.local.invalidate_all();
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn current(&self, tenant_id: &TenantId) -> u64 {
        self.changed.get(tenant_id).copied().unwrap_or(self.base)
    }

    /// Returns the generation that is over.
    fn advance(&mut self, tenant_id: &TenantId) -> u64 {
        let before = self.current(tenant_id);
        if self.changed.len() >= MAX_CHANGED_TENANTS {
            self.advance_all();
        }
        self.last += 1;
        self.changed.insert(tenant_id.clone(), self.last);
        before
    }

    fn advance_all(&mut self) {
        self.last += 1;
        self.base = self.last;
        self.changed.clear();
    }
}

#[cfg(test)]
mod tests;
