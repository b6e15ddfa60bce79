//! Rate limits for replies: `RATE_LIMIT_PER_TENANT` and `RATE_LIMIT_GLOBAL`.

use std::time::Duration;

use models::TenantId;
use redis::Script;

use crate::local_limiter::LocalLimiter;
use crate::rate::Rate;
use crate::redis_client::RedisClient;

/// The braces keep both keys of the script in one slot of a Redis cluster.
const RATE_LIMIT_KEY_PREFIX: &str = "{enablebot}:answers:";

/// The decision when a reply may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may start now.
    Allowed,
    /// The tenant's limit is used up. A slot is reserved; it comes after this time.
    QueuedFor(Duration),
    /// The global limit is used up. The slot within the tenant is kept; retry after this time.
    RetryAfter(Duration),
}

impl Admission {
    pub(crate) fn queued_for_micros(micros: u64) -> Self {
        Self::QueuedFor(Duration::from_micros(micros))
    }

    pub(crate) fn retry_after_micros(micros: u64) -> Self {
        Self::RetryAfter(Duration::from_micros(micros))
    }
}

/// The kind of slot that a caller asks for. `reserve.lua` uses the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcquireMode {
    /// A slot now or later.
    Reserve = 0,
    /// A start in the tenant's slot that was reserved earlier.
    Reserved = 1,
    /// A slot now or none.
    TryNow = 2,
}

pub(crate) fn to_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Limits replies per tenant and in total: across all replicas while Redis is available, else in this
/// process.
pub struct RateLimiter {
    redis: Option<RedisClient>,
    script: Script,
    local: LocalLimiter,
    rates: [Rate; 2],
}

impl RateLimiter {
    /// Creates a limiter. Without `redis` this process counts alone.
    pub fn new(redis: Option<RedisClient>, per_tenant: Rate, global: Rate) -> Self {
        let script = Script::new(include_str!("reserve.lua"));
        Self { redis, script, local: LocalLimiter::default(), rates: [per_tenant, global] }
    }

    /// Takes a slot for one reply, or reserves one and returns its time. Set `is_reserved` if the tenant's
    /// slot was reserved by an earlier call.
    pub async fn reserve(&self, tenant_id: &TenantId, is_reserved: bool) -> Admission {
        self.acquire(tenant_id, if is_reserved { AcquireMode::Reserved } else { AcquireMode::Reserve }).await
    }

    /// Takes a slot for one reply if one is free now. Reserves nothing otherwise: callers that do not wait
    /// must not delay those that do, however often they retry.
    pub async fn try_acquire(&self, tenant_id: &TenantId) -> Admission {
        self.acquire(tenant_id, AcquireMode::TryNow).await
    }

    async fn acquire(&self, tenant_id: &TenantId, mode: AcquireMode) -> Admission {
        match self.acquire_in_redis(tenant_id, mode).await {
            Some(admission) => admission,
            None => self.local.acquire(tenant_id, mode, self.rates),
        }
    }

    async fn acquire_in_redis(&self, tenant_id: &TenantId, mode: AcquireMode) -> Option<Admission> {
        let mut call = self.script.key(format!("{RATE_LIMIT_KEY_PREFIX}tenant:{tenant_id}"));
        call.key(format!("{RATE_LIMIT_KEY_PREFIX}all"));
        for rate in self.rates {
            call.arg(rate.interval_micros()).arg(rate.tolerance_micros());
        }
        call.arg(mode as u8);
        let result: (u8, u64) =
            self.redis.as_ref()?.execute(async |redis| call.invoke_async(redis).await).await?;
        Some(match result {
            (0, _) => Admission::Allowed,
            (1, wait) => Admission::queued_for_micros(wait),
            (_, wait) => Admission::retry_after_micros(wait),
        })
    }
}
