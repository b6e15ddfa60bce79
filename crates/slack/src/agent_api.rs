//! Slack has two interfaces for agents, and a workspace one of them: `agents.sessions.*`, or the older
//! `assistant.threads.*`. Source: <https://docs.slack.dev/ai/migrating-to-agent-messaging>

use std::time::Duration;

use models::TenantId;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::Value;

use crate::{BotAuth, Client, SlackError};

/// So long what a tenant lacks is remembered; then it is tried again, since it may have come.
const AGENT_API_CACHE_TTL: Duration = Duration::from_secs(3_600);

const MAX_AGENT_API_ENTRIES: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AgentApi {
    Sessions,
    Threads,
    Neither,
}

/// Which interface a tenant has; only those that lack the newer one are kept.
#[derive(Clone, Debug)]
pub(crate) struct AgentApiSupport(Cache<TenantId, AgentApi>);

impl Default for AgentApiSupport {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_AGENT_API_ENTRIES)
            .time_to_live(AGENT_API_CACHE_TTL)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self(cache)
    }
}

/// A method and its arguments.
pub(crate) type MethodCall = (&'static str, Value);

impl Client {
    /// Calls the method of `agents.sessions`, or of `assistant.threads` where the tenant has only that; where it has
    /// neither there is nothing to set.
    pub(crate) async fn call_agent_api(
        &self,
        bot: &BotAuth,
        sessions: MethodCall,
        threads: MethodCall,
    ) -> Result<(), SlackError> {
        let AgentApiSupport(known) = &self.agent_api_support;
        let surface = known.get(&bot.tenant_id).unwrap_or(AgentApi::Sessions);
        if surface == AgentApi::Sessions {
            match self.call(sessions.0, bot, sessions.1).await {
                Err(error) if is_api_unavailable(&error) => {
                    known.insert(bot.tenant_id.clone(), AgentApi::Threads)
                }
                Err(error) if is_session_missing(&error) => {}
                result => return result.map(drop),
            }
        }
        if surface == AgentApi::Neither {
            return Ok(());
        }
        let result = self.call(threads.0, bot, threads.1).await.map(drop);
        if result.as_ref().is_err_and(is_api_unavailable) {
            known.insert(bot.tenant_id.clone(), AgentApi::Neither);
        }
        result
    }
}

/// Refused for what the app or the workspace is: it would be refused in every thread.
fn is_api_unavailable(error: &SlackError) -> bool {
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
fn is_session_missing(error: &SlackError) -> bool {
    matches!(error.code(), Some("session_not_found" | "not_authorized"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_api_entries_are_bounded() {
        let AgentApiSupport(known) = AgentApiSupport::default();
        for tenant in 0..MAX_AGENT_API_ENTRIES + 500 {
            known.insert(TenantId::new(format!("T{tenant}")), AgentApi::Threads);
        }
        known.run_pending_tasks();
        assert!(known.entry_count() <= MAX_AGENT_API_ENTRIES, "{}", known.entry_count());
    }
}
