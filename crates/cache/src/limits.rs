//! How many answers may begin: `RATE_LIMIT_PER_TENANT` and `RATE_LIMIT_GLOBAL`.

use std::time::Duration;

use models::TenantId;
use redis::Script;

use crate::own::Own;
use crate::rate::Rate;
use crate::shared::Shared;

/// One slot of a Redis cluster for both keys of the script.
const PREFIX: &str = "{enablebot}:answers:";

/// When an answer may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may begin.
    Now,
    /// Its tenant's limit is used up; so long from now its turn comes, and is kept for it.
    At(Duration),
    /// All tenants together are too many; so long from now there may be room. The turn within its tenant is kept.
    Later(Duration),
}

impl Turn {
    pub(crate) fn of_tenant(micros: u64) -> Self {
        Self::At(Duration::from_micros(micros))
    }

    pub(crate) fn of_all(micros: u64) -> Self {
        Self::Later(Duration::from_micros(micros))
    }
}

/// What whoever comes asks for; `turn.lua` knows them by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A turn, now or later.
    Wait = 0,
    /// Its tenant's turn was given to it before.
    Kept = 1,
    /// A turn now, or none.
    Now = 2,
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The limits, across all replicas while Redis is there, else of this process alone.
pub struct Limits {
    shared: Option<Shared>,
    script: Script,
    own: Own,
    rates: [Rate; 2],
}

impl Limits {
    /// With no `shared` this process counts alone.
    pub fn new(shared: Option<Shared>, per_tenant: Rate, global: Rate) -> Self {
        let script = Script::new(include_str!("turn.lua"));
        Self { shared, script, own: Own::default(), rates: [per_tenant, global] }
    }

    /// Takes a turn for one answer, or says when it comes. `has_turn`: its tenant's turn was given to it before.
    pub async fn take_turn(&self, tenant_id: &TenantId, has_turn: bool) -> Turn {
        self.take(tenant_id, if has_turn { Wish::Kept } else { Wish::Wait }).await
    }

    /// Takes a turn for one answer if it may begin now. Else no turn is kept: whoever does not wait must not move those
    /// back who do, however often they come.
    pub async fn take_turn_now(&self, tenant_id: &TenantId) -> Turn {
        self.take(tenant_id, Wish::Now).await
    }

    async fn take(&self, tenant_id: &TenantId, wish: Wish) -> Turn {
        match self.ask_shared(tenant_id, wish).await {
            Some(turn) => turn,
            None => self.own.take_turn(tenant_id, wish, self.rates),
        }
    }

    async fn ask_shared(&self, tenant_id: &TenantId, wish: Wish) -> Option<Turn> {
        let [per_tenant, global] = self.rates;
        let mut call = self.script.key(format!("{PREFIX}tenant:{tenant_id}"));
        call.key(format!("{PREFIX}all"));
        for part in [per_tenant.interval(), per_tenant.tolerance(), global.interval(), global.tolerance()] {
            call.arg(part);
        }
        call.arg(wish as u8);
        let told: (u8, u64) = self.shared.as_ref()?.ask(async |redis| call.invoke_async(redis).await).await?;
        Some(match told {
            (0, _) => Turn::Now,
            (1, wait) => Turn::of_tenant(wait),
            (_, wait) => Turn::of_all(wait),
        })
    }
}
