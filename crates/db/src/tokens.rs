//! Rotation of bot tokens, in the table `installations`. A refresh token works once, so only the holder of
//! the refresh lease may use it, and the new pair is stored before it is used.

use std::time::Duration;

use models::TenantId;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::installations::BOT_TOKEN;
use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const REFRESH_TOKEN: ColumnRef = ColumnRef { table: "installations", column: "refresh_token" };

/// Seconds that one replica has for a refresh before another one may try.
const REFRESH_LEASE_SECONDS: f64 = 30.0;

/// Refresh token of a token that expires.
#[derive(Clone, Debug)]
pub struct RefreshTokenGrant {
    /// Refresh token, valid once.
    pub refresh_token: SecretString,
    /// Remaining lifetime of the bot token.
    pub expires_in: Duration,
}

impl RefreshTokenGrant {
    pub(crate) fn seconds(&self) -> f64 {
        self.expires_in.as_secs_f64()
    }
}

/// The right to use a refresh token.
#[derive(Clone, Debug)]
pub struct RefreshLease {
    id: Uuid,
    /// The refresh token.
    pub refresh_token: SecretString,
}

/// Acquires the right to refresh a tenant's token if it expires within `within`; `None` if another process
/// holds the right or has refreshed the token, or if the token does not expire.
pub async fn acquire_refresh_lease(
    tx: &mut Tx,
    tenant_id: &TenantId,
    within: Duration,
) -> Result<Option<RefreshLease>, DbError> {
    let row = sqlx::query!(
        r#"update installations
           set refresh_lease = gen_random_uuid(), refresh_lease_until = now() + make_interval(secs => $2)
           where tenant_id = $1 and refresh_token is not null and disabled_reason is null
             and (refresh_lease_until is null or refresh_lease_until < now())
             and token_expires_at <= now() + make_interval(secs => $3)
           returning refresh_lease as "id!", refresh_token as "refresh_token!""#,
        tenant_id.as_str(),
        REFRESH_LEASE_SECONDS,
        within.as_secs_f64(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let refresh_token = keys::open(tx, tenant_id, REFRESH_TOKEN, &row.refresh_token).await?;
    Ok(Some(RefreshLease { id: row.id, refresh_token }))
}

/// Stores the new pair and releases the lease. Returns false if another install or lease came first.
pub async fn replace(
    tx: &mut Tx,
    tenant_id: &TenantId,
    lease: &RefreshLease,
    bot_token: &SecretString,
    grant: &RefreshTokenGrant,
) -> Result<bool, DbError> {
    let key = keys::current(tx, tenant_id).await?;
    let replaced = sqlx::query!(
        "update installations set bot_token = $3, refresh_token = $4,
             token_expires_at = now() + make_interval(secs => $5), refresh_lease = null, refresh_lease_until = null
         where tenant_id = $1 and refresh_lease = $2",
        tenant_id.as_str(),
        lease.id,
        key.seal(BOT_TOKEN.binding(tenant_id), bot_token.expose_secret())?,
        key.seal(REFRESH_TOKEN.binding(tenant_id), grant.refresh_token.expose_secret())?,
        grant.seconds(),
    )
    .execute(tx)
    .await?;
    Ok(replaced.rows_affected() == 1)
}

/// Releases the lease without a new pair.
pub async fn release(tx: &mut Tx, tenant_id: &TenantId, lease: &RefreshLease) -> Result<(), DbError> {
    sqlx::query!(
        "update installations set refresh_lease = null, refresh_lease_until = null
         where tenant_id = $1 and refresh_lease = $2",
        tenant_id.as_str(),
        lease.id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records that Slack reported the token as expired, unless it was replaced since this worker read it.
pub async fn expire(
    tx: &mut Tx,
    tenant_id: &TenantId,
    read_with: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update installations set token_expires_at = now()
         where tenant_id = $1 and refresh_token is not null and token_expires_at is not distinct from $2",
        tenant_id.as_str(),
        read_with,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the tenants whose token expires within this time.
pub async fn list_expiring(tx: &mut Tx, within: Duration) -> Result<Vec<TenantId>, DbError> {
    let rows = sqlx::query_scalar!(
        "select tenant_id from installations
         where refresh_token is not null and disabled_at is null
           and token_expires_at < now() + make_interval(secs => $1)
         order by token_expires_at limit 1000",
        within.as_secs_f64(),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(TenantId::from).collect())
}
