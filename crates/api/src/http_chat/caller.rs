//! Trust in a program starts here: a handler only sees whom a key vouches for.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use db::api_keys::ApiKeyOwner;
use models::{ApiScope, TenantId};
use tracing::Span;
use uuid::Uuid;

use super::ChatService;
use super::problem::{Problem, ProblemKind};

/// What every key begins with, and the least that comes behind it.
const API_KEY_PREFIX: &str = "eb_";
const MIN_API_KEY_CHARS: usize = 40;

const MISSING_KEY_TEXT: &str = "Send a key of the workspace: `Authorization: Bearer eb_…`.";
const UNKNOWN_KEY_TEXT: &str = "This key is unknown, or was revoked. An admin can make a new one.";

/// A program that has a key of a workspace in which the bot is at work.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) key_id: Uuid,
    pub(super) tenant_id: TenantId,
    scopes: Vec<ApiScope>,
}

impl Caller {
    /// Refuses what the key does not allow.
    pub(super) fn require_scope(&self, scope: ApiScope) -> Result<(), Problem> {
        match self.scopes.contains(&scope) {
            true => Ok(()),
            false => Err(Problem::new(
                ProblemKind::NotAllowed,
                format!("The key lacks the scope `{}`. An admin can make one that has it.", scope.as_str()),
            )),
        }
    }
}

impl FromRequestParts<Arc<ChatService>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<ChatService>) -> Result<Self, Problem> {
        let given = parts.headers.get(AUTHORIZATION).and_then(|given| given.to_str().ok());
        let (guesses, address) = (&desk.auth_throttle, desk.auth_throttle.client_ip(parts));
        let Some(key) = parse_bearer(given.unwrap_or_default()) else {
            return Err(guesses.record_bad_key(address, MISSING_KEY_TEXT).await);
        };
        guesses.check_key(address, key)?;
        let mut tx = desk.app.db.begin_cross_tenant().await?;
        let holder = db::api_keys::find_owner(&mut tx, key).await?;
        tx.commit().await?;
        let Some(holder) = holder else {
            return Err(guesses.record_bad_key(address, UNKNOWN_KEY_TEXT).await);
        };
        guesses.remember_good_key(key);
        Span::current().record("tenant_id", holder.tenant_id.as_str());
        authorize_holder(holder)
    }
}

/// Nobody is asked whose bot cannot work: an admin is to see it here too.
fn authorize_holder(holder: ApiKeyOwner) -> Result<Caller, Problem> {
    if !holder.is_installed {
        return Err(Problem::new(
            ProblemKind::NotAllowed,
            "The bot was taken out of the workspace. Install it again.",
        ));
    }
    if let Some(reason) = holder.disabled_reason {
        let detail =
            format!("Slack does not take the bot's token any more ({reason}). Install the bot again.");
        return Err(Problem::new(ProblemKind::NotAllowed, detail));
    }
    if let Some(reason) = holder.suspended_reason {
        let detail = format!("Whoever runs this server has suspended the workspace: {reason}");
        return Err(Problem::new(ProblemKind::NotAllowed, detail));
    }
    Ok(Caller { key_id: holder.key_id, tenant_id: holder.tenant_id, scopes: holder.scopes })
}

/// The key of the header, if it can be one: what cannot is not asked of the database.
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
