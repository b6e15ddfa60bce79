//! The table `api_keys`: what the keys of `POST /api/chat` are known by. Of a key itself only a digest is kept.

use chrono::{DateTime, Utc};
use models::{ApiScope, TenantId, UserId};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{DbError, Tx};

/// Characters of a key's end by which people know it again.
const API_KEY_HINT_CHARS: usize = 4;

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Names it. One that is known already makes no second key.
    pub key_id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<ApiScope>,
    /// Who makes it.
    pub created_by: UserId,
}

/// A key as people look at it.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Names it.
    pub key_id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its last characters.
    pub hint: String,
    /// What it allows, in words.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Whose key it is, and whether that tenant is answered.
#[derive(Clone, Debug)]
pub struct ApiKeyOwner {
    /// Names the key.
    pub key_id: Uuid,
    /// Whose data it opens.
    pub tenant_id: TenantId,
    /// What it allows.
    pub scopes: Vec<ApiScope>,
    /// Whether the bot is still in the workspace.
    pub is_installed: bool,
    /// Why the bot's token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// Why its questions are not answered, if an operator suspended it.
    pub suspended_reason: Option<String>,
}

/// Keeps what a new key is known by; false where there is one of this id already.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    new: &NewApiKey,
    key: &SecretString,
) -> Result<bool, DbError> {
    let text = key.expose_secret();
    let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let inserted = sqlx::query!(
        "insert into api_keys (key_id, tenant_id, name, digest, hint, scopes, created_by)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (key_id) do nothing",
        new.key_id,
        tenant_id.as_str(),
        new.name,
        digest(text),
        text.get(text.len().saturating_sub(API_KEY_HINT_CHARS)..).unwrap_or_default(),
        &scopes,
        new.created_by.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Whose key this is, which is in use from now on; `None` where it is unknown or revoked. The tenant is what this tells,
/// so it cannot be asked by it.
pub async fn find_owner(tx: &mut Tx, key: &str) -> Result<Option<ApiKeyOwner>, DbError> {
    // Noted once a minute: a program may ask many times in it.
    let row = sqlx::query!(
        r#"with touched as (
               update api_keys set last_used_at = now()
               where digest = $1 and revoked_at is null
                 and (last_used_at is null or last_used_at < now() - interval '1 minute'))
           select key_id, tenant_id, k.scopes, i.tenant_id is not null as "is_installed!",
                  disabled_reason as "disabled_reason?", suspended_reason
           from api_keys k join tenants using (tenant_id) left join installations i using (tenant_id)
           where digest = $1 and revoked_at is null"#,
        digest(key),
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| ApiKeyOwner {
        key_id: row.key_id,
        tenant_id: row.tenant_id.into(),
        scopes: ApiScope::parse_known(&row.scopes),
        is_installed: row.is_installed,
        disabled_reason: row.disabled_reason,
        suspended_reason: row.suspended_reason,
    }))
}

/// A tenant's keys: those in use first, the newest of them first.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<ApiKey>, DbError> {
    Ok(sqlx::query_as!(
        ApiKey,
        "select key_id, name, hint, scopes, created_by, created_at, last_used_at, revoked_at
         from api_keys where tenant_id = $1
         order by revoked_at desc nulls first, created_at desc limit 200",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?)
}

/// How many keys of a tenant are in use.
pub async fn count_active(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_keys where tenant_id = $1 and revoked_at is null"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// What came of revoking a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It opens nothing from now on.
    Revoked,
    /// It did not before.
    AlreadyRevoked,
    /// The tenant has no such key.
    NotFound,
}

/// Revokes a key.
pub async fn revoke(tx: &mut Tx, tenant_id: &TenantId, key_id: Uuid) -> Result<RevokeOutcome, DbError> {
    let revoked = sqlx::query!(
        "update api_keys set revoked_at = now() where tenant_id = $1 and key_id = $2 and revoked_at is null",
        tenant_id.as_str(),
        key_id,
    )
    .execute(&mut *tx)
    .await?;
    if revoked.rows_affected() == 1 {
        return Ok(RevokeOutcome::Revoked);
    }
    let known = sqlx::query_scalar!(
        r#"select exists (select from api_keys where tenant_id = $1 and key_id = $2) as "known!""#,
        tenant_id.as_str(),
        key_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(if known { RevokeOutcome::AlreadyRevoked } else { RevokeOutcome::NotFound })
}

fn digest(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}
