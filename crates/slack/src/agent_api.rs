//! Chooses between Slack's two agent APIs, of which a workspace has one: `agents.sessions.*`, or the older
//! `assistant.threads.*`. Source: <https://docs.slack.dev/ai/migrating-to-agent-messaging>

use std::time::Duration;

use models::TenantId;
use moka::sync::Cache;
use serde_json::Value;

use crate::bounded_cache::bounded_cache;
use crate::{BotAuth, Client, SlackError};

/// The time after which a missing API is tried again, since Slack may have enabled it.
const AGENT_API_CACHE_TTL: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AgentApi {
    Sessions,
    Threads,
    Neither,
}

/// The agent API of each tenant. Only tenants without the newer API are stored.
#[derive(Clone, Debug)]
pub(crate) struct AgentApiSupport(Cache<TenantId, AgentApi>);

impl Default for AgentApiSupport {
    fn default() -> Self {
        Self(bounded_cache(AGENT_API_CACHE_TTL))
    }
}

/// A method and its arguments.
pub(crate) type MethodCall = (&'static str, Value);

impl Client {
    /// Calls the method of `agents.sessions`, or of `assistant.threads` if the tenant has only that. Does
    /// nothing if the tenant has neither.
    pub(crate) async fn call_agent_api(
        &self,
        bot: &BotAuth,
        sessions: MethodCall,
        threads: MethodCall,
    ) -> Result<(), SlackError> {
        let AgentApiSupport(cache) = &self.agent_api_support;
        let api = cache.get(&bot.tenant_id).unwrap_or(AgentApi::Sessions);
        if api == AgentApi::Sessions {
            match self.call(sessions.0, bot, sessions.1).await {
                Err(error) if is_api_unavailable(&error) => {
                    cache.insert(bot.tenant_id.clone(), AgentApi::Threads)
                }
                Err(error) if is_session_missing(&error) => {}
                result => return result.map(drop),
            }
        }
        if api == AgentApi::Neither {
            return Ok(());
        }
        let result = self.call(threads.0, bot, threads.1).await.map(drop);
        if result.as_ref().is_err_and(is_api_unavailable) {
            cache.insert(bot.tenant_id.clone(), AgentApi::Neither);
        }
        result
    }
}

/// Returns true if the app or the workspace lacks the API: every thread would get the same error.
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

/// Returns true if only this thread has no session: the older method may work.
fn is_session_missing(error: &SlackError) -> bool {
    matches!(error.code(), Some("session_not_found" | "not_authorized"))
}
