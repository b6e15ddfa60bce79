//! What all replicas keep of tenants, in Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use models::TenantId;
use redis::Script;
use uuid::Uuid;

use crate::redis_client::RedisClient;

/// One slot of a Redis cluster for the keys of the scripts.
const CACHE_KEY_PREFIX: &str = "{enablebot}:kept";

/// Longer than reading a tenant takes; whoever takes longer keeps nothing.
const LOAD_LEASE_TTL: Duration = Duration::from_secs(30);

/// What Redis says of a tenant.
pub(crate) enum Lookup {
    /// This is kept.
    Hit(Vec<u8>),
    /// Nothing is; what is read now may be kept under this lease.
    LoadLease(String),
    /// There is no Redis that could be believed.
    Unavailable,
}

/// What is kept in Redis. It counts only from the moment on from which this process heard of every change, and told Redis
/// of each: whatever may have missed one is not found any more.
pub(crate) struct RedisCache {
    redis: RedisClient,
    ttl: Duration,
    get_script: Script,
    put_script: Script,
    /// How often nothing that was kept before counted any more.
    invalidations: AtomicU64,
    /// The renewals and the losses of Redis of which it knows.
    synced_epoch: Mutex<Option<(u64, u64)>>,
}

impl RedisCache {
    pub(crate) fn new(redis: RedisClient, ttl: Duration) -> Self {
        let (get_script, put_script) =
            (Script::new(include_str!("cache_get.lua")), Script::new(include_str!("cache_put.lua")));
        Self {
            redis: redis,
            ttl,
            get_script,
            put_script,
            invalidations: AtomicU64::new(0),
            synced_epoch: Mutex::new(None),
        }
    }

    pub(crate) async fn get(&self, tenant_id: &TenantId) -> Lookup {
        if !self.ensure_synced().await {
            return Lookup::Unavailable;
        }
        let [since, kept, lease] = cache_keys(tenant_id);
        let mut call = self.get_script.key(since);
        call.key(kept).key(lease).arg(Uuid::new_v4().to_string()).arg(LOAD_LEASE_TTL.as_millis() as u64);
        match self.redis.execute(async |redis| call.invoke_async::<(u8, Vec<u8>)>(redis).await).await {
            Some((1, kept)) => Lookup::Hit(kept),
            Some((_, lease)) => String::from_utf8(lease).map_or(Lookup::Unavailable, Lookup::LoadLease),
            None => Lookup::Unavailable,
        }
    }

    pub(crate) async fn put(&self, tenant_id: &TenantId, lease: &str, body: &[u8]) {
        let [since, kept, held] = cache_keys(tenant_id);
        let mut call = self.put_script.key(since);
        call.key(kept).key(held).arg(lease).arg(body).arg(self.ttl.as_millis() as u64);
        self.redis.execute(async |redis| call.invoke_async::<()>(redis).await).await;
    }

    /// Takes what is kept of a tenant away, and the leases under which it was read. Where that fails Redis is not believed
    /// until nothing counts any more that it has.
    pub(crate) async fn invalidate(&self, tenant_id: &TenantId) {
        let [_, kept, lease] = cache_keys(tenant_id);
        let mut call = redis::cmd("UNLINK");
        call.arg(kept).arg(lease);
        self.redis.execute(async |redis| call.query_async::<()>(redis).await).await;
    }

    /// Lets nothing count that is kept by now.
    pub(crate) async fn invalidate_all(&self) {
        self.invalidations.fetch_add(1, Ordering::Relaxed);
        self.ensure_synced().await;
    }

    /// Whether Redis was told of all that it may have missed: of each loss, and of each renewal. If not, it is told now.
    async fn ensure_synced(&self) -> bool {
        let known = (self.invalidations.load(Ordering::Relaxed), self.redis.loss_count());
        if *self.synced_epoch.lock().unwrap_or_else(PoisonError::into_inner) == Some(known) {
            return true;
        }
        let mut call = redis::cmd("SET");
        call.arg(format!("{CACHE_KEY_PREFIX}:since")).arg(Uuid::new_v4().to_string());
        let told = self.redis.execute(async |redis| call.query_async::<()>(redis).await).await;
        if told.is_some() {
            *self.synced_epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        }
        told.is_some()
    }
}

fn cache_keys(tenant_id: &TenantId) -> [String; 3] {
    ["since".to_owned(), format!("of:{tenant_id}"), format!("lease:{tenant_id}")]
        .map(|name| format!("{CACHE_KEY_PREFIX}:{name}"))
}
