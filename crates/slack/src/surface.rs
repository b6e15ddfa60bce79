//! Slack has two interfaces for agents, and a workspace one of them: `agents.sessions.*`, or the older
//! `assistant.threads.*`. Source: <https://docs.slack.dev/ai/migrating-to-agent-messaging>

use std::time::Duration;

use models::TenantId;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::Value;

use crate::{Bot, Client, SlackError};

/// So long what a tenant lacks is remembered; then it is tried again, since it may have come.
const MEMORY: Duration = Duration::from_secs(3_600);

const CAPACITY: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surface {
    Sessions,
    Threads,
    Neither,
}

/// Which interface a tenant has; only those that lack the newer one are kept.
#[derive(Clone, Debug)]
pub(crate) struct Surfaces(Cache<TenantId, Surface>);

impl Default for Surfaces {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(MEMORY)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self(cache)
    }
}

/// A method and its arguments.
pub(crate) type Call = (&'static str, Value);

impl Client {
    /// Calls the method of `agents.sessions`, or of `assistant.threads` where the tenant has only that; where it has
    /// neither there is nothing to set.
    pub(crate) async fn call_surface(
        &self,
        bot: &Bot,
        sessions: Call,
        threads: Call,
    ) -> Result<(), SlackError> {
        let Surfaces(known) = &self.surfaces;
        let surface = known.get(&bot.tenant_id).unwrap_or(Surface::Sessions);
        if surface == Surface::Sessions {
            match self.call(sessions.0, bot, sessions.1).await {
                Err(error) if is_absent(&error) => known.insert(bot.tenant_id.clone(), Surface::Threads),
                Err(error) if is_no_session(&error) => {}
                result => return result.map(drop),
            }
        }
        if surface == Surface::Neither {
            return Ok(());
        }
        let result = self.call(threads.0, bot, threads.1).await.map(drop);
        if result.as_ref().is_err_and(is_absent) {
            known.insert(bot.tenant_id.clone(), Surface::Neither);
        }
        result
    }
}

/// Refused for what the app or the workspace is: it would be refused in every thread.
fn is_absent(error: &SlackError) -> bool {
    matches!(
        error.code(),
        Some(
            "feature_disabled"
                | "method_deprecated"
                | "missing_scope"
                | "not_agent_app"
                | "not_allowed_token_type"
                | "unknown_method"
        )
    )
}

/// Refused for this thread only: the older method may do.
fn is_no_session(error: &SlackError) -> bool {
    matches!(error.code(), Some("session_not_found" | "not_authorized"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_18_no_more_tenants_are_kept_than_there_is_room_for() {
        let Surfaces(known) = Surfaces::default();
        for tenant in 0..CAPACITY + 500 {
            known.insert(TenantId::new(format!("T{tenant}")), Surface::Threads);
        }
        known.run_pending_tasks();
        assert!(known.entry_count() <= CAPACITY, "{}", known.entry_count());
    }
}
