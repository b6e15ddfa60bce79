//! The table `chat_leases`: conversations of `POST /api/chat` that are being answered. Two replies at once
//! would each miss the other's text.

use models::TenantId;
use uuid::Uuid;

use crate::{DbError, Tx};

/// Seconds after which a lease expires if it is not renewed.
const CHAT_LEASE_SECONDS: f64 = 30.0;

/// Acquires the lease on a conversation and returns its token; `None` if another reply holds it.
pub async fn acquire(
    tx: &mut Tx,
    tenant_id: &TenantId,
    conversation_id: &str,
) -> Result<Option<Uuid>, DbError> {
    sqlx::query!("delete from chat_leases where tenant_id = $1 and leased_until < now()", tenant_id.as_str())
        .execute(&mut *tx)
        .await?;
    Ok(sqlx::query_scalar!(
        "insert into chat_leases (tenant_id, conversation_id, lease, leased_until)
         values ($1, $2, $3, now() + make_interval(secs => $4))
         on conflict do nothing returning lease",
        tenant_id.as_str(),
        conversation_id,
        Uuid::new_v4(),
        CHAT_LEASE_SECONDS,
    )
    .fetch_optional(tx)
    .await?)
}

/// Renews the lease on a conversation. Returns false if another reply holds it by now.
pub async fn renew(
    tx: &mut Tx,
    tenant_id: &TenantId,
    conversation_id: &str,
    lease: Uuid,
) -> Result<bool, DbError> {
    let renewed = sqlx::query!(
        "update chat_leases set leased_until = now() + make_interval(secs => $4)
         where tenant_id = $1 and conversation_id = $2 and lease = $3",
        tenant_id.as_str(),
        conversation_id,
        lease,
        CHAT_LEASE_SECONDS,
    )
    .execute(tx)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Releases the lease on a conversation. Returns false if another reply holds it by now.
pub async fn release(
    tx: &mut Tx,
    tenant_id: &TenantId,
    conversation_id: &str,
    lease: Uuid,
) -> Result<bool, DbError> {
    let released = sqlx::query!(
        "delete from chat_leases where tenant_id = $1 and conversation_id = $2 and lease = $3",
        tenant_id.as_str(),
        conversation_id,
        lease,
    )
    .execute(tx)
    .await?;
    Ok(released.rows_affected() == 1)
}
