//! The table `audit_log`: what was done to a tenant, and by whom.

use models::TenantId;
use serde_json::Value;

use crate::{DbError, Tx};

/// What is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The bot was installed, or installed again.
    Installed,
    /// Somebody got an answer.
    Answered,
    /// An event was given up.
    SetAside,
    /// The bot was taken out of the workspace.
    Uninstalled,
    /// Everything of the tenant was deleted; the entry is the signed receipt.
    Deleted,
    /// The token is dead; only a new install helps.
    Disabled,
    /// The token was replaced before its end.
    TokenRefreshed,
    /// An org-wide install was let into workspaces.
    TeamAccessGranted,
    /// An org-wide install was taken out of workspaces.
    TeamAccessRevoked,
    /// A person had everything about them deleted.
    PersonForgotten,
    /// A person had everything about them sent to them.
    PersonExported,
    /// A channel was opened to people of other organisations, or closed.
    ChannelSet,
    /// What was set aside got another chance.
    Redriven,
    /// What was set aside was given up for good.
    Discarded,
    /// The tenant got another share of the places in the queue.
    WeightSet,
    /// Somebody signed in to the dashboard.
    SignedIn,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Answered => "answered",
            Self::SetAside => "set_aside",
            Self::Uninstalled => "uninstalled",
            Self::Deleted => "deleted",
            Self::Disabled => "disabled",
            Self::TokenRefreshed => "token_refreshed",
            Self::TeamAccessGranted => "team_access_granted",
            Self::TeamAccessRevoked => "team_access_revoked",
            Self::PersonForgotten => "person_forgotten",
            Self::PersonExported => "person_exported",
            Self::ChannelSet => "channel_set",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
            Self::WeightSet => "weight_set",
            Self::SignedIn => "signed_in",
        }
    }
}

/// Adds an entry. `detail` holds ids and counts, never what people wrote.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    actor: &str,
    action: Action,
    detail: Value,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into audit_log (tenant_id, actor, action, detail) values ($1, $2, $3, $4)",
        tenant_id.as_str(),
        actor,
        action.as_str(),
        detail,
    )
    .execute(tx)
    .await?;
    Ok(())
}
