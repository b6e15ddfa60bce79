//! How many answers may begin: `RATE_LIMIT_PER_TENANT` and `RATE_LIMIT_GLOBAL`.

use std::time::Duration;

use models::TenantId;
use redis::Script;

use crate::local_limiter::LocalLimiter;
use crate::rate::Rate;
use crate::redis_client::RedisClient;

/// One slot of a Redis cluster for both keys of the script.
const RATE_LIMIT_KEY_PREFIX: &str = "{enablebot}:answers:";

/// When an answer may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may begin.
    Allowed,
    /// Its tenant's limit is used up; so long from now its turn comes, and is kept for it.
    QueuedFor(Duration),
    /// All tenants together are too many; so long from now there may be room. The turn within its tenant is kept.
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

/// What whoever comes asks for; `reserve.lua` knows them by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcquireMode {
    /// A turn, now or later.
    Reserve = 0,
    /// Its tenant's turn was given to it before.
    Reserved = 1,
    /// A turn now, or none.
    TryNow = 2,
}

pub(crate) fn to_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The limits, across all replicas while Redis is there, else of this process alone.
pub struct RateLimiter {
    redis: Option<RedisClient>,
    script: Script,
    local: LocalLimiter,
    rates: [Rate; 2],
}

impl RateLimiter {
    /// With no `shared` this process counts alone.
    pub fn new(redis: Option<RedisClient>, per_tenant: Rate, global: Rate) -> Self {
        let script = Script::new(include_str!("reserve.lua"));
        Self { redis: redis, script, local: LocalLimiter::default(), rates: [per_tenant, global] }
    }

    /// Takes a turn for one answer, or says when it comes. `is_reserved`: its tenant's turn was given to it before.
    pub async fn reserve(&self, tenant_id: &TenantId, is_reserved: bool) -> Admission {
        self.acquire(tenant_id, if is_reserved { AcquireMode::Reserved } else { AcquireMode::Reserve }).await
    }

    /// Takes a turn for one answer if it may begin now. Else no turn is kept: whoever does not wait must not move those
    /// back who do, however often they come.
    pub async fn try_acquire(&self, tenant_id: &TenantId) -> Admission {
        self.acquire(tenant_id, AcquireMode::TryNow).await
    }

    async fn acquire(&self, tenant_id: &TenantId, mode: AcquireMode) -> Admission {
        match self.acquire_in_redis(tenant_id, mode).await {
            Some(turn) => turn,
            None => self.local.acquire(tenant_id, mode, self.rates),
        }
    }

    async fn acquire_in_redis(&self, tenant_id: &TenantId, mode: AcquireMode) -> Option<Admission> {
        let [per_tenant, global] = self.rates;
        let mut call = self.script.key(format!("{RATE_LIMIT_KEY_PREFIX}tenant:{tenant_id}"));
        call.key(format!("{RATE_LIMIT_KEY_PREFIX}all"));
        for part in [
            per_tenant.interval_micros(),
            per_tenant.tolerance_micros(),
            global.interval_micros(),
            global.tolerance_micros(),
        ] {
            call.arg(part);
        }
        call.arg(mode as u8);
        let told: (u8, u64) =
            self.redis.as_ref()?.execute(async |redis| call.invoke_async(redis).await).await?;
        Some(match told {
            (0, _) => Admission::Allowed,
            (1, wait) => Admission::queued_for_micros(wait),
            (_, wait) => Admission::retry_after_micros(wait),
        })
    }
}
