//! Authenticates a program by its API key. Handlers only see callers with a valid one.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use db::api_keys::ApiKeyOwner;
use models::{ApiScope, TenantId};
use tracing::Span;
use uuid::Uuid;

use super::problem::Problem;
use super::problem_kind::ProblemKind;
use super::service::ChatService;

/// The prefix of every key.
const API_KEY_PREFIX: &str = "eb_";

/// The shortest key without its prefix, in characters.
const MIN_API_KEY_CHARS: usize = 40;

const MISSING_KEY_TEXT: &str = "Send an API key of the workspace: `Authorization: Bearer eb_…`.";
const UNKNOWN_KEY_TEXT: &str = "This key is unknown or revoked. An admin can create a new one.";

/// A program with a valid key of a workspace in which the bot is active.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) key_id: Uuid,
    pub(super) tenant_id: TenantId,
    scopes: Vec<ApiScope>,
}

impl Caller {
    /// Returns a problem if the key lacks the scope.
    pub(super) fn require_scope(&self, scope: ApiScope) -> Result<(), Problem> {
        match self.scopes.contains(&scope) {
            true => Ok(()),
            false => Err(Problem::new(
                ProblemKind::NotAllowed,
                format!("The key lacks the scope `{}`. An admin can create one that has it.", scope.as_str()),
            )),
        }
    }
}

impl FromRequestParts<Arc<ChatService>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<ChatService>) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let throttle = &service.auth_throttle;
        let address = throttle.client_ip(parts);
        let Some(key) = parse_bearer(header.unwrap_or_default()) else {
            return Err(throttle.record_bad_key(address, MISSING_KEY_TEXT).await);
        };
        throttle.check_key(address, key)?;
        let mut tx = service.state.db.begin_cross_tenant().await?;
        let owner = db::api_keys::find_owner(&mut tx, key).await?;
        tx.commit().await?;
        let Some(owner) = owner else {
            return Err(throttle.record_bad_key(address, UNKNOWN_KEY_TEXT).await);
        };
        throttle.remember_good_key(key);
        Span::current().record("tenant_id", owner.tenant_id.as_str());
        authorize_owner(owner)
    }
}

/// Refuses workspaces whose bot cannot work, with the reason for the admin.
fn authorize_owner(owner: ApiKeyOwner) -> Result<Caller, Problem> {
    if !owner.is_installed {
        return Err(Problem::new(
            ProblemKind::NotAllowed,
            "The bot is not installed in the workspace. Install it again.",
        ));
    }
    if let Some(reason) = owner.disabled_reason {
        let detail = format!("Slack revoked the bot token ({reason}). Reinstall the bot.");
        return Err(Problem::new(ProblemKind::NotAllowed, detail));
    }
    if let Some(reason) = owner.suspended_reason {
        let detail = format!("The operator of this server has suspended the workspace: {reason}");
        return Err(Problem::new(ProblemKind::NotAllowed, detail));
    }
    Ok(Caller { key_id: owner.key_id, tenant_id: owner.tenant_id, scopes: owner.scopes })
}

/// Returns the key in the header if it has a key's format; if not, the database is not queried.
fn parse_bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    let key = key.trim();
    let random = key.strip_prefix(API_KEY_PREFIX)?;
    let is_key = random.len() >= MIN_API_KEY_CHARS && random.chars().all(|c| c.is_ascii_alphanumeric());
    (scheme.eq_ignore_ascii_case("bearer") && is_key).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_key_format_is_checked() {
        let key = format!("eb_{}", "a1B2c".repeat(9));
        assert_eq!(parse_bearer(&format!("Bearer {key}")), Some(key.as_str()));
        assert_eq!(parse_bearer(&format!("bearer  {key} ")), Some(key.as_str()));
        for wrong in
            ["", "Bearer", &key, "Bearer eb_short", &format!("Basic {key}"), &format!("Bearer {key}'")]
        {
            assert_eq!(parse_bearer(wrong), None, "{wrong}");
        }
    }
}
