//! The workspace cache: data that every reply reads and that seldom changes, kept for `CACHE_TTL` or until it
//! changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use models::TenantId;
use moka::future::Cache;

use crate::redis_cache::{Lookup, RedisCache};
use crate::redis_client::RedisClient;

/// The most bytes that one process caches.
const MAX_CACHE_BYTES: u64 = 64 << 20;

/// The most changed tenants with a generation of their own. Beyond that the whole cache is invalidated.
const MAX_CHANGED_TENANTS: usize = 10_000;

/// An encrypted cache entry. The loader encrypts it, so neither this process nor Redis holds it in plaintext.
pub type SealedBytes = Arc<[u8]>;

/// A cache of workspace data in this process and in the Redis that all replicas share.
///
/// A load that began before a change never stores what a later reader finds. The cache is used only while
/// changes are being received, see [`set_valid_until`](Self::set_valid_until).
pub struct WorkspaceCache {
    local: Cache<(TenantId, u64), SealedBytes>,
    generations: Mutex<Generations>,
    redis_cache: Option<RedisCache>,
    ttl: Duration,
    valid_until: Mutex<Option<Instant>>,
}

/// The generation number that is part of a tenant's cache key. A change starts a new generation, so entries
/// of an earlier one are never found again.
#[derive(Default)]
struct Generations {
    last: u64,
    /// The generation of all tenants that are not in `changed`.
    base: u64,
    changed: HashMap<TenantId, u64>,
}

/// The reason that a load returned no entry.
#[derive(Clone)]
enum LoadMiss<E> {
    Absent,
    Failed(Arc<E>),
}

impl WorkspaceCache {
    /// Creates a cache. Entries live for `ttl` in the process and in Redis; a `ttl` of zero disables the
    /// cache. Without `redis` each process has its own.
    pub fn new(redis: Option<RedisClient>, ttl: Duration) -> Self {
        let size = |(tenant_id, _): &(TenantId, u64), entry: &SealedBytes| {
            u32::try_from(tenant_id.as_str().len() + entry.len()).unwrap_or(u32::MAX)
        };
        Self {
            local: Cache::builder().max_capacity(MAX_CACHE_BYTES).weigher(size).time_to_live(ttl).build(),
            generations: Mutex::default(),
            redis_cache: redis.map(|redis| RedisCache::new(redis, ttl)),
            ttl,
            valid_until: Mutex::new(None),
        }
    }

    /// Allows reads from the cache until `moment`. The caller guarantees that every change up to then has
    /// been, or will be, received before it.
    pub fn set_valid_until(&self, moment: Instant) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// Returns whether the cache may be used. Otherwise read from the database.
    pub fn is_valid(&self) -> bool {
        let until = *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.ttl.is_zero() && until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns a tenant's entry, or loads and stores it. Concurrent callers share one load. `None` from
    /// `load` is not cached.
    ///
    /// # Errors
    /// The shared load failed with this error.
    pub async fn get_or_load<E: Send + Sync + 'static>(
        &self,
        tenant_id: &TenantId,
        load: impl Future<Output = Result<Option<Vec<u8>>, E>>,
    ) -> Result<Option<SealedBytes>, Arc<E>> {
        let key = (tenant_id.clone(), self.generations().current(tenant_id));
        let entry = self.local.try_get_with(key, async {
            let lease = match self.lookup_in_redis(tenant_id).await {
                Lookup::Hit(body) => return Ok(body.into()),
                Lookup::LoadLease(lease) => Some(lease),
                Lookup::Unavailable => None,
            };
            let body =
                load.await.map_err(|error| LoadMiss::Failed(Arc::new(error)))?.ok_or(LoadMiss::Absent)?;
            if let (Some(redis_cache), Some(lease)) = (&self.redis_cache, lease) {
                redis_cache.put(tenant_id, &lease, &body).await;
            }
            Ok(body.into())
        });
        entry.await.map(Some).or_else(|miss: Arc<LoadMiss<E>>| match &*miss {
            LoadMiss::Absent => Ok(None),
            LoadMiss::Failed(error) => Err(Arc::clone(error)),
        })
    }

    async fn lookup_in_redis(&self, tenant_id: &TenantId) -> Lookup {
        match &self.redis_cache {
            Some(redis_cache) => redis_cache.get(tenant_id).await,
            None => Lookup::Unavailable,
        }
    }

    /// Invalidates a tenant that changed.
    pub async fn invalidate(&self, tenant_id: &TenantId) {
        // Redis comes first, or this process could load the outdated entry from there again.
        if let Some(redis_cache) = &self.redis_cache {
            redis_cache.invalidate(tenant_id).await;
        }
        let before = self.generations().advance(tenant_id);
        self.local.invalidate(&(tenant_id.clone(), before)).await;
    }

    /// Invalidates every tenant, after a time in which changes were not received.
    pub async fn invalidate_all(&self) {
        if let Some(redis_cache) = &self.redis_cache {
            redis_cache.invalidate_all().await;
        }
        self.generations().advance_all();
        self.local.invalidate_all();
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn current(&self, tenant_id: &TenantId) -> u64 {
        self.changed.get(tenant_id).copied().unwrap_or(self.base)
    }

    /// Starts a new generation of a tenant and returns the one before.
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
