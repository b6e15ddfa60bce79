//! The table `channels`: settings of single channels.

use models::{ChannelId, TenantId};

use crate::{DbError, Tx};

/// Returns whether people of other organisations get replies in a channel. The default is no.
pub async fn is_external_allowed(
    tx: &mut Tx,
    tenant_id: &TenantId,
    channel_id: &ChannelId,
) -> Result<bool, DbError> {
    let allowed = sqlx::query_scalar!(
        "select external_allowed from channels where tenant_id = $1 and channel_id = $2",
        tenant_id.as_str(),
        channel_id.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(allowed.unwrap_or(false))
}

/// Allows or denies people of other organisations in a channel. Returns false if there is no such tenant.
pub async fn set_external_allowed(
    tx: &mut Tx,
    tenant_id: &TenantId,
    channel_id: &ChannelId,
    allowed: bool,
) -> Result<bool, DbError> {
    let set = sqlx::query!(
        "insert into channels (tenant_id, channel_id, external_allowed)
         select tenant_id, $2, $3 from tenants where tenant_id = $1
         on conflict (tenant_id, channel_id) do update set external_allowed = excluded.external_allowed",
        tenant_id.as_str(),
        channel_id.as_str(),
        allowed,
    )
    .execute(tx)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// Allows people of other organisations in exactly these channels, and denies them in all others.
pub async fn set_all_external_allowed(
    tx: &mut Tx,
    tenant_id: &TenantId,
    channel_ids: &[ChannelId],
) -> Result<(), DbError> {
    let ids: Vec<String> = channel_ids.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "with closed as (
             update channels set external_allowed = false
             where tenant_id = $1 and external_allowed and channel_id <> all ($2))
         insert into channels (tenant_id, channel_id, external_allowed) select $1, unnest($2::text[]), true
         on conflict (tenant_id, channel_id) do update set external_allowed = true",
        tenant_id.as_str(),
        &ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the channels in which people of other organisations are allowed.
pub async fn list_external_allowed(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<ChannelId>, DbError> {
    let channels = sqlx::query_scalar!(
        "select channel_id from channels where tenant_id = $1 and external_allowed order by channel_id",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(channels.into_iter().map(ChannelId::from).collect())
}
