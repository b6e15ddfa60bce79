//! What all replicas keep of tenants, in Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use models::TenantId;
use redis::Script;
use uuid::Uuid;

use crate::shared::Shared;

/// One slot of a Redis cluster for the keys of the scripts.
const PREFIX: &str = "{enablebot}:kept";

/// Longer than reading a tenant takes; whoever takes longer keeps nothing.
const LEASE: Duration = Duration::from_secs(30);

/// What Redis says of a tenant.
pub(crate) enum Found {
    /// This is kept.
    Kept(Vec<u8>),
    /// Nothing is; what is read now may be kept under this lease.
    Lease(String),
    /// There is no Redis that could be believed.
    Nothing,
}

/// What is kept in Redis. It counts only from the moment on from which this process heard of every change, and told Redis
/// of each: whatever may have missed one is not found any more.
pub(crate) struct Stock {
    shared: Shared,
    ttl: Duration,
    find: Script,
    keep: Script,
    /// How often nothing that was kept before counted any more.
    renewals: AtomicU64,
    /// The renewals and the losses of Redis of which it knows.
    told: Mutex<Option<(u64, u64)>>,
}

impl Stock {
    pub(crate) fn new(shared: Shared, ttl: Duration) -> Self {
        let (find, keep) = (Script::new(include_str!("find.lua")), Script::new(include_str!("keep.lua")));
        Self { shared, ttl, find, keep, renewals: AtomicU64::new(0), told: Mutex::new(None) }
    }

    pub(crate) async fn find(&self, tenant_id: &TenantId) -> Found {
        if !self.is_believed().await {
            return Found::Nothing;
        }
        let [since, kept, lease] = keys(tenant_id);
        let mut call = self.find.key(since);
        call.key(kept).key(lease).arg(Uuid::new_v4().to_string()).arg(LEASE.as_millis() as u64);
        match self.shared.ask(async |redis| call.invoke_async::<(u8, Vec<u8>)>(redis).await).await {
            Some((1, kept)) => Found::Kept(kept),
            Some((_, lease)) => String::from_utf8(lease).map_or(Found::Nothing, Found::Lease),
            None => Found::Nothing,
        }
    }

    pub(crate) async fn keep(&self, tenant_id: &TenantId, lease: &str, body: &[u8]) {
        let [since, kept, held] = keys(tenant_id);
        let mut call = self.keep.key(since);
        call.key(kept).key(held).arg(lease).arg(body).arg(self.ttl.as_millis() as u64);
        self.shared.ask(async |redis| call.invoke_async::<()>(redis).await).await;
    }

    /// Takes what is kept of a tenant away, and the leases under which it was read. Where that fails Redis is not believed
    /// until nothing counts any more that it has.
    pub(crate) async fn forget(&self, tenant_id: &TenantId) {
        let [_, kept, lease] = keys(tenant_id);
        let mut call = redis::cmd("UNLINK");
        call.arg(kept).arg(lease);
        self.shared.ask(async |redis| call.query_async::<()>(redis).await).await;
    }

    /// Lets nothing count that is kept by now.
    pub(crate) async fn renew(&self) {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.is_believed().await;
    }

    /// Whether Redis was told of all that it may have missed: of each loss, and of each renewal. If not, it is told now.
    async fn is_believed(&self) -> bool {
        let known = (self.renewals.load(Ordering::Relaxed), self.shared.losses());
        if *self.told.lock().unwrap_or_else(PoisonError::into_inner) == Some(known) {
            return true;
        }
        let mut call = redis::cmd("SET");
        call.arg(format!("{PREFIX}:since")).arg(Uuid::new_v4().to_string());
        let told = self.shared.ask(async |redis| call.query_async::<()>(redis).await).await;
        if told.is_some() {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        }
        told.is_some()
    }
}

fn keys(tenant_id: &TenantId) -> [String; 3] {
    ["since".to_owned(), format!("of:{tenant_id}"), format!("lease:{tenant_id}")]
        .map(|name| format!("{PREFIX}:{name}"))
}
