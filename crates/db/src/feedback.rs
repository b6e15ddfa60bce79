//! The table `feedback`: people's ratings of replies.

use models::{EventId, TenantId, UserId};

use crate::{DbError, Tx};

/// Stores a person's rating of a reply, replacing an earlier one.
pub async fn upsert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    event_id: &EventId,
    user_id: &UserId,
    positive: bool,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into feedback (tenant_id, event_id, user_id, positive) values ($1, $2, $3, $4)
         on conflict (tenant_id, event_id, user_id) do update set positive = excluded.positive, created_at = now()",
        tenant_id.as_str(),
        event_id.as_str(),
        user_id.as_str(),
        positive,
    )
    .execute(tx)
    .await?;
    Ok(())
}
