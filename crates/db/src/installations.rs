//! The table `installations`: the bot in a workspace or organisation, and its token.

use chrono::{DateTime, Utc};
use models::{Installation, TenantId};
use secrecy::{ExposeSecret, SecretString};

use crate::keys::{self, ColumnRef};
use crate::tokens::{REFRESH_TOKEN, RefreshTokenGrant};
use crate::{DbError, Tx, tenants};

pub(crate) const BOT_TOKEN: ColumnRef = ColumnRef { table: "installations", column: "bot_token" };

/// An installation as it stands.
#[derive(Clone, Debug)]
pub struct StoredInstallation {
    /// The bot in the workspace.
    pub installation: Installation,
    /// What it calls Slack with.
    pub bot_token: SecretString,
    /// When the token ends, if it does.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Why the token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// What Slack last refused for how the app is set up.
    pub problem: Option<String>,
    /// When it did.
    pub problem_at: Option<DateTime<Utc>>,
    /// Why the workspace's questions are not answered, if an operator suspended it.
    pub suspended_reason: Option<String>,
    /// When it was installed.
    pub installed_at: DateTime<Utc>,
}

/// Stores an install, or the newest of several; the tokens are sealed on the way. What an earlier uninstall left within
/// its grace is in use again.
pub async fn upsert(
    tx: &mut Tx,
    installation: &Installation,
    bot_token: &SecretString,
    rotation: Option<&RefreshTokenGrant>,
) -> Result<(), DbError> {
    let tenant_id = &installation.tenant_id;
    tenants::upsert(tx, tenant_id, &installation.name).await?;
    let key = keys::get_or_create_current(tx, tenant_id).await?;
    let refresh_token = rotation
        .map(|rotation| key.seal(REFRESH_TOKEN.binding(tenant_id), rotation.refresh_token.expose_secret()))
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
        rotation.map(RefreshTokenGrant::seconds),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The bot in a workspace, with its token.
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

/// Whether something that happened then, in Unix seconds, was before the second of the installation: it is of an
/// earlier one, and changes nothing.
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

/// Notes that the token is dead, and why; false if that was known.
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

/// Whether the installation is still the one that was read, with the same token. It stays so in this transaction.
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

/// Notes what Slack refused for how the app is set up, for an admin to see.
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

/// Takes the installation away, and the token with it.
pub async fn delete(tx: &mut Tx, tenant_id: &TenantId) -> Result<(), DbError> {
    sqlx::query!("delete from installations where tenant_id = $1", tenant_id.as_str()).execute(tx).await?;
    Ok(())
}
