//! The tables `tenants` and `installations`.

use models::{Installation, TenantId};
use secrecy::{ExposeSecret, SecretString};

use crate::keys::{self, Column};
use crate::{DbError, Tx};

const BOT_TOKEN: Column = Column { table: "installations", column: "bot_token" };

/// Stores an install, or the newest of several; the token is sealed on the way.
pub async fn upsert(
    tx: &mut Tx,
    installation: &Installation,
    bot_token: &SecretString,
) -> Result<(), DbError> {
    let tenant_id = &installation.tenant_id;
    sqlx::query!(
        "insert into tenants (tenant_id, name) values ($1, $2)
         on conflict (tenant_id) do update set name = excluded.name",
        tenant_id.as_str(),
        installation.name,
    )
    .execute(&mut *tx)
    .await?;
    let key = keys::current_or_new(tx, tenant_id).await?;
    sqlx::query!(
        "insert into installations
             (tenant_id, team_id, enterprise_id, app_id, bot_user_id, bot_token, scopes, installed_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant_id) do update set
             team_id = excluded.team_id, enterprise_id = excluded.enterprise_id, app_id = excluded.app_id,
             bot_user_id = excluded.bot_user_id, bot_token = excluded.bot_token, scopes = excluded.scopes,
             installed_by = excluded.installed_by, installed_at = excluded.installed_at",
        tenant_id.as_str(),
        installation.team_id.as_ref().map(|id| id.as_str()),
        installation.enterprise_id.as_ref().map(|id| id.as_str()),
        installation.app_id.as_str(),
        installation.bot_user_id.as_str(),
        key.seal(BOT_TOKEN.of(tenant_id), bot_token.expose_secret())?,
        installation.scopes,
        installation.installed_by.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The bot in a workspace, with its token.
pub async fn find(
    tx: &mut Tx,
    tenant_id: &TenantId,
) -> Result<Option<(Installation, SecretString)>, DbError> {
    let row = sqlx::query!(
        "select name, team_id, enterprise_id, app_id, bot_user_id, bot_token, scopes, installed_by
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
    Ok(Some((installation, bot_token)))
}
