//! The table `audit_log`: what was done to a tenant, and by whom.

use chrono::{DateTime, Utc};
use models::TenantId;
use serde_json::Value;

pub use crate::audit_chain::{
    AuditChain, ChainBreak, ChainFault, count_entries, list_chained_tenants, verify,
};
use crate::{DbError, Tx};

/// What is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// The bot was installed, or installed again.
    Installed,
    /// Somebody got an answer.
    Answered,
    /// An event was given up.
    DeadLettered,
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
    /// The workspace set the bot otherwise.
    SettingsChanged,
    /// An admin looked at what was said in a thread.
    ConversationRead,
    /// What the bot knows of a person was set.
    ProfileSet,
    /// A key for `POST /api/chat` was made.
    ApiKeyCreated,
    /// A key for `POST /api/chat` was revoked.
    ApiKeyRevoked,
    /// Everything of the workspace was downloaded.
    DataExported,
    /// An operator suspended the tenant.
    Suspended,
    /// An operator let the tenant go on.
    Resumed,
    /// Whoever is told of the budget was told.
    BudgetWarned,
    /// The tenant's data key was replaced, with all that it encrypts.
    KeyRotated,
}

impl AuditAction {
    /// All of them, for whoever chooses among them.
    pub const ALL_ACTIONS: [Self; 26] = [
        Self::Installed,
        Self::Answered,
        Self::DeadLettered,
        Self::Uninstalled,
        Self::Deleted,
        Self::Disabled,
        Self::TokenRefreshed,
        Self::TeamAccessGranted,
        Self::TeamAccessRevoked,
        Self::PersonForgotten,
        Self::PersonExported,
        Self::ChannelSet,
        Self::Redriven,
        Self::Discarded,
        Self::WeightSet,
        Self::SignedIn,
        Self::SettingsChanged,
        Self::ConversationRead,
        Self::ProfileSet,
        Self::ApiKeyCreated,
        Self::ApiKeyRevoked,
        Self::DataExported,
        Self::Suspended,
        Self::Resumed,
        Self::BudgetWarned,
        Self::KeyRotated,
    ];

    /// As it stands in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Answered => "answered",
            Self::DeadLettered => "set_aside",
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
            Self::SettingsChanged => "settings_changed",
            Self::ConversationRead => "conversation_read",
            Self::ProfileSet => "profile_set",
            Self::ApiKeyCreated => "api_key_created",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::DataExported => "data_exported",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::BudgetWarned => "budget_warned",
            Self::KeyRotated => "key_rotated",
        }
    }
}

/// Adds an entry. `detail` holds ids and counts, never what people wrote. It is the last thing that a transaction writes: the
/// tenant's chain is locked from here to the commit, and whoever waited then for another row might wait for ever.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    actor: &str,
    action: AuditAction,
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

/// Which entries to read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Those of a person, or of `enablebot` or `operator`.
    pub actor: Option<String>,
    /// Those of this kind.
    pub action: Option<String>,
    /// Those older than this one.
    pub before: Option<i64>,
}

/// What somebody did.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Grows with time.
    pub entry_id: i64,
    /// Where it stands in the tenant's chain, from 1.
    pub place: i64,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what: ids and counts.
    pub detail: Value,
}

/// The newest entries that the filter meets.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<AuditEntry>, DbError> {
    Ok(sqlx::query_as!(
        AuditEntry,
        "select entry_id, place, created_at, actor, action, detail from audit_log
         where tenant_id = $1 and ($2::text is null or actor = $2) and ($3::text is null or action = $3)
           and ($4::bigint is null or entry_id < $4)
         order by entry_id desc limit $5",
        tenant_id.as_str(),
        filter.actor,
        filter.action,
        filter.before,
        limit,
    )
    .fetch_all(tx)
    .await?)
}
