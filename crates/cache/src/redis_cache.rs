//! The part of the workspace cache that all replicas share, in Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use models::TenantId;
use redis::Script;
use uuid::Uuid;

use crate::redis_client::RedisClient;

/// The braces keep all keys of a script in one slot of a Redis cluster.
const CACHE_KEY_PREFIX: &str = "{enablebot}:kept";

/// The time within which a load must finish to be stored. Longer than reading a tenant takes.
const LOAD_LEASE_TTL: Duration = Duration::from_secs(30);

/// The result of a cache lookup in Redis.
pub(crate) enum Lookup {
    /// The entry's body.
    Hit(Vec<u8>),
    /// No entry. A body that is loaded now may be stored under this lease.
    LoadLease(String),
    /// No Redis whose entries are known to be current.
    Unavailable,
}

/// Workspace entries in Redis.
///
/// Entries belong to an epoch, an id that is stored in Redis. A process starts a new epoch whenever Redis or
/// the process may have missed an invalidation; entries of earlier epochs are never found again.
pub(crate) struct RedisCache {
    redis: RedisClient,
    ttl: Duration,
    get_script: Script,
    put_script: Script,
    /// The number of calls of `invalidate_all`.
    invalidations: AtomicU64,
    /// The invalidations and the losses of Redis that the current epoch covers.
    synced_epoch: Mutex<Option<(u64, u64)>>,
}

impl RedisCache {
    pub(crate) fn new(redis: RedisClient, ttl: Duration) -> Self {
        Self {
            redis,
            ttl,
            get_script: Script::new(include_str!("cache_get.lua")),
            put_script: Script::new(include_str!("cache_put.lua")),
            invalidations: AtomicU64::new(0),
            synced_epoch: Mutex::new(None),
        }
    }

    pub(crate) async fn get(&self, tenant_id: &TenantId) -> Lookup {
        if !self.ensure_synced().await {
            return Lookup::Unavailable;
        }
        let [epoch, entry, lease] = cache_keys(tenant_id);
        let mut call = self.get_script.key(epoch);
        call.key(entry).key(lease).arg(Uuid::new_v4().to_string()).arg(LOAD_LEASE_TTL.as_millis() as u64);
        match self.redis.execute(async |redis| call.invoke_async::<(u8, Vec<u8>)>(redis).await).await {
            Some((1, body)) => Lookup::Hit(body),
            Some((_, lease)) => String::from_utf8(lease).map_or(Lookup::Unavailable, Lookup::LoadLease),
            None => Lookup::Unavailable,
        }
    }

    pub(crate) async fn put(&self, tenant_id: &TenantId, lease: &str, body: &[u8]) {
        let [epoch, entry, lease_key] = cache_keys(tenant_id);
        let mut call = self.put_script.key(epoch);
        call.key(entry).key(lease_key).arg(lease).arg(body).arg(self.ttl.as_millis() as u64);
        self.redis.execute(async |redis| call.invoke_async::<()>(redis).await).await;
    }

    /// Deletes a tenant's entry and revokes the lease of a load in progress. If this fails, Redis counts as
    /// lost, and the next lookup starts a new epoch first.
    pub(crate) async fn invalidate(&self, tenant_id: &TenantId) {
        let [_, entry, lease] = cache_keys(tenant_id);
        let mut call = redis::cmd("UNLINK");
        call.arg(entry).arg(lease);
        self.redis.execute(async |redis| call.query_async::<()>(redis).await).await;
    }

    /// Invalidates every entry.
    pub(crate) async fn invalidate_all(&self) {
        self.invalidations.fetch_add(1, Ordering::Relaxed);
        self.ensure_synced().await;
    }

    /// Starts a new epoch if Redis may have missed an invalidation. Returns whether its entries are now
    /// current.
    async fn ensure_synced(&self) -> bool {
        let seen = (self.invalidations.load(Ordering::Relaxed), self.redis.loss_count());
        if *self.synced_epoch.lock().unwrap_or_else(PoisonError::into_inner) == Some(seen) {
            return true;
        }
        let mut call = redis::cmd("SET");
        call.arg(format!("{CACHE_KEY_PREFIX}:since")).arg(Uuid::new_v4().to_string());
        let stored = self.redis.execute(async |redis| call.query_async::<()>(redis).await).await;
        if stored.is_some() {
            *self.synced_epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        }
        stored.is_some()
    }
}

/// Returns the keys of the epoch, the tenant's entry and its lease.
fn cache_keys(tenant_id: &TenantId) -> [String; 3] {
    ["since".to_owned(), format!("of:{tenant_id}"), format!("lease:{tenant_id}")]
        .map(|name| format!("{CACHE_KEY_PREFIX}:{name}"))
}
