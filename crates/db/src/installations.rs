//! The table `installations`: the bot in a workspace or organisation, and its token.

use chrono::{DateTime, Utc};
use models::{Installation, TenantId};
use secrecy::{ExposeSecret, SecretString};

use crate::keys::{self, ColumnRef};
use crate::tokens::{REFRESH_TOKEN, RefreshTokenGrant};
use crate::{DbError, Tx, tenants};

pub(crate) const BOT_TOKEN: ColumnRef = ColumnRef { table: "installations", column: "bot_token" };

/// An installation as stored.
#[derive(Clone, Debug)]
pub struct StoredInstallation {
    /// The installation.
    pub installation: Installation,
    /// Bot token for calls to Slack.
    pub bot_token: SecretString,
    /// Expiry of the token, if it expires.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Reason why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// Last configuration problem of the app that Slack reported.
    pub problem: Option<String>,
    /// Time of that problem.
    pub problem_at: Option<DateTime<Utc>>,
    /// Reason given by the operator who suspended the workspace, if it is suspended.
    pub suspended_reason: Option<String>,
    /// Time of the install.
    pub installed_at: DateTime<Utc>,
}

/// Stores an install, replacing an earlier one. The tokens are encrypted. Data of an earlier uninstall within
/// its grace period is used again.
pub async fn upsert(
    tx: &mut Tx,
    installation: &Installation,
    bot_token: &SecretString,
    grant: Option<&RefreshTokenGrant>,
) -> Result<(), DbError> {
    let tenant_id = &installation.tenant_id;
    tenants::upsert(tx, tenant_id, &installation.name).await?;
    let key = keys::get_or_create_current(tx, tenant_id).await?;
    let refresh_token = grant
        .map(|grant| key.seal(REFRESH_TOKEN.binding(tenant_id), grant.refresh_token.expose_secret()))
        .transpose()?;
    sqlx::query!(
        "insert into installations
             (tenant_id, team_id, enterprise_id, app_id, bot_user_id, bot_token, scopes, installed_by,
              refresh_token, token_expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10))
         on conflict (tenant_id) do update set
             team_id = excluded.team_id, enterprise_id = excluded.enterprise_id, app_id = excluded.app_id,
             bot_user_id = excluded.bot_user_id, bot_token = excluded.bot_token, scopes = excluded.scopes,
             installed_by = excluded.installed_by, installed_at = excluded.installed_at,
             refresh_token = excluded.refresh_token, token_expires_at = excluded.token_expires_at,
             refresh_lease = null, refresh_lease_until = null,
             disabled_reason = null, disabled_at = null, problem = null, problem_at = null",
        tenant_id.as_str(),
        installation.team_id.as_ref().map(|id| id.as_str()),
        installation.enterprise_id.as_ref().map(|id| id.as_str()),
        installation.app_id.as_str(),
        installation.bot_user_id.as_str(),
        key.seal(BOT_TOKEN.binding(tenant_id), bot_token.expose_secret())?,
        installation.scopes,
        installation.installed_by.as_str(),
        refresh_token,
        grant.map(RefreshTokenGrant::seconds),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Returns a tenant's installation with its token.
pub async fn find(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<StoredInstallation>, DbError> {
    let row = sqlx::query!(
        "select name, team_id, enterprise_id, app_id, bot_user_id, bot_token, scopes, installed_by, installed_at,
                token_expires_at, disabled_reason, problem, problem_at, suspended_reason
         from installations join tenants using (tenant_id) where tenant_id = $1",
        tenant_id.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let bot_token = keys::open(tx, tenant_id, BOT_TOKEN, &row.bot_token).await?;
    let installation = Installation {
        tenant_id: tenant_id.clone(),
        team_id: row.team_id.map(Into::into),
        enterprise_id: row.enterprise_id.map(Into::into),
        name: row.name,
        app_id: row.app_id.into(),
        bot_user_id: row.bot_user_id.into(),
        scopes: row.scopes,
        installed_by: row.installed_by.into(),
    };
    Ok(Some(StoredInstallation {
        installation,
        bot_token,
        token_expires_at: row.token_expires_at,
        disabled_reason: row.disabled_reason,
        problem: row.problem,
        problem_at: row.problem_at,
        suspended_reason: row.suspended_reason,
        installed_at: row.installed_at,
    }))
}

/// Returns whether an event time, in Unix seconds, is before the current installation. Such an event belongs
/// to an earlier installation and changes nothing.
pub async fn is_stale(tx: &mut Tx, tenant_id: &TenantId, event_time: i64) -> Result<bool, DbError> {
    let stale = sqlx::query_scalar!(
        r#"select $2::bigint < floor(extract(epoch from installed_at)) as "stale!"
           from installations where tenant_id = $1"#,
        tenant_id.as_str(),
        event_time,
    )
    .fetch_optional(tx)
    .await?;
    Ok(stale.unwrap_or(false))
}

/// Records that the token is dead, and the reason. Returns false if that was recorded already.
pub async fn disable(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<bool, DbError> {
    let disabled = sqlx::query!(
        "update installations set disabled_reason = $2, disabled_at = now()
         where tenant_id = $1 and disabled_reason is null",
        tenant_id.as_str(),
        reason,
    )
    .execute(tx)
    .await?;
    Ok(disabled.rows_affected() == 1)
}

/// Returns whether the installation still is the one that was read, with the same token. Locks it for this
/// transaction.
pub async fn is_unchanged(
    tx: &mut Tx,
    tenant_id: &TenantId,
    read: &StoredInstallation,
) -> Result<bool, DbError> {
    let found = sqlx::query!(
        "select true as found from installations
         where tenant_id = $1 and installed_at = $2 and token_expires_at is not distinct from $3 for update",
        tenant_id.as_str(),
        read.installed_at,
        read.token_expires_at,
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// Records a configuration problem of the app that Slack reported, for an admin to see.
pub async fn set_problem(tx: &mut Tx, tenant_id: &TenantId, problem: &str) -> Result<(), DbError> {
    sqlx::query!(
        "update installations set problem = $2, problem_at = now() where tenant_id = $1",
        tenant_id.as_str(),
        problem,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes the installation with its token.
pub async fn delete(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    sqlx::query!("delete from installations where tenant_id = $1", tenant_id.as_str()).execute(tx).await?;
    Ok(())
}
