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
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Answered => "answered",
            Self::SetAside => "set_aside",
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
