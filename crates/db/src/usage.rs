//! The table `usage`: what each answer cost.

use models::{TenantId, Usage, UserId};

use crate::{DbError, Tx};

/// Books what the answer to an event cost; an event is booked once.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    user_id: &UserId,
    usage: &Usage,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens)
         values ($1, $2, $3, $4, $5, $6) on conflict (seq) do nothing",
        seq,
        tenant_id.as_str(),
        user_id.as_str(),
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens,
    )
    .execute(tx)
    .await?;
    Ok(())
}
