//! The table `audit_log`: actions on a tenant, and who performed them.

use chrono::{DateTime, Utc};
use models::TenantId;
use serde_json::Value;

pub use crate::audit_chain::{
    AuditChain, ChainBreak, ChainFault, count_entries, list_chained_tenants, verify,
};
use crate::{DbError, Tx};

/// Actions that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// The bot was installed or reinstalled.
    Installed,
    /// A message was answered.
    Answered,
    /// An event was dead-lettered.
    DeadLettered,
    /// The bot was removed from the workspace.
    Uninstalled,
    /// All data of the tenant was deleted. The entry is the signed receipt.
    Deleted,
    /// The token is dead. Only a new install helps.
    Disabled,
    /// The token was refreshed before it expired.
    TokenRefreshed,
    /// Workspaces were granted to an org-wide install.
    TeamAccessGranted,
    /// Workspaces were revoked from an org-wide install.
    TeamAccessRevoked,
    /// All data about a person was deleted at their request.
    PersonForgotten,
    /// All data about a person was sent to them.
    PersonExported,
    /// A channel was opened or closed to people of other organisations.
    ChannelSet,
    /// Dead letters were redriven.
    Redriven,
    /// A dead letter was discarded.
    Discarded,
    /// The tenant's weight in the queue was changed.
    WeightSet,
    /// Someone signed in to the dashboard.
    SignedIn,
    /// The workspace's settings were changed.
    SettingsChanged,
    /// A person was named a manager.
    ManagerNamed,
    /// A person is no manager any more.
    ManagerRevoked,
    /// An admin read a conversation.
    ConversationRead,
    /// A person's profile was changed in the dashboard.
    ProfileSet,
    /// A key for `POST /api/chat` was created.
    ApiKeyCreated,
    /// A key for `POST /api/chat` was revoked.
    ApiKeyRevoked,
    /// All data of the workspace was downloaded.
    DataExported,
    /// An operator suspended the tenant.
    Suspended,
    /// An operator resumed the tenant.
    Resumed,
    /// The budget contacts were warned.
    BudgetWarned,
    /// A person ended their sessions of the dashboard.
    SessionsEnded,
    /// The tenant's data key was replaced, and all its data re-encrypted.
    KeyRotated,
}

impl AuditAction {
    /// All actions, for filters.
    pub const ALL_ACTIONS: [Self; 29] = [
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
        Self::ManagerNamed,
        Self::ManagerRevoked,
        Self::ConversationRead,
        Self::ProfileSet,
        Self::ApiKeyCreated,
        Self::ApiKeyRevoked,
        Self::DataExported,
        Self::Suspended,
        Self::Resumed,
        Self::BudgetWarned,
        Self::SessionsEnded,
        Self::KeyRotated,
    ];

    /// Returns the value stored in the table.
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
            Self::ManagerNamed => "manager_named",
            Self::ManagerRevoked => "manager_revoked",
            Self::ConversationRead => "conversation_read",
            Self::ProfileSet => "profile_set",
            Self::ApiKeyCreated => "api_key_created",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::DataExported => "data_exported",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::BudgetWarned => "budget_warned",
            Self::SessionsEnded => "sessions_ended",
            Self::KeyRotated => "key_rotated",
        }
    }
}

/// Appends an entry. `detail` holds ids and counts, never the text of messages. Must be the last write of a
/// transaction: the tenant's chain is locked until the commit, so waiting for another row's lock after it
/// could deadlock.
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

/// Filter of audit log entries.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only entries of this actor: a user id, `enablebot` or `operator`.
    pub actor: Option<String>,
    /// Only entries with this action.
    pub action: Option<String>,
    /// Only entries with a smaller `entry_id`.
    pub before: Option<i64>,
}

/// An entry of the audit log.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Id, which grows with time.
    pub entry_id: i64,
    /// Position in the tenant's chain, from 1.
    pub chain_index: i64,
    /// Time of the entry.
    pub created_at: DateTime<Utc>,
    /// Actor: a user id, `enablebot` or `operator`.
    pub actor: String,
    /// Action.
    pub action: String,
    /// Details: ids and counts.
    pub detail: Value,
}

/// Lists the newest entries that match the filter.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<AuditEntry>, DbError> {
    Ok(sqlx::query_as!(
        AuditEntry,
        "select entry_id, chain_index, created_at, actor, action, detail from audit_log
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
