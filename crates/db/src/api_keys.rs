//! The table `api_keys`: the keys of `POST /api/chat`. Only a digest of each key is stored, and a row counts
//! only with the proof that this deployment wrote it.

mod proof;

use chrono::{DateTime, Utc};
use models::{ApiScope, TenantId, UserId};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::proof::ApiKeyGrant;
pub(crate) use self::proof::replace_creator;
pub use self::proof::resign;
pub(crate) use self::proof::sign_existing;
use crate::{DbError, Tx, UNPROVEN_ROWS};

/// Characters at the end of a key that are kept so that people can recognize it.
const API_KEY_HINT_CHARS: usize = 4;

/// A key to create.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Id of the key. Inserting the same id again creates no second key.
    pub key_id: Uuid,
    /// Name for people.
    pub name: String,
    /// Scopes of the key.
    pub scopes: Vec<ApiScope>,
    /// The user who creates it.
    pub created_by: UserId,
}

/// A key as shown to people.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Id of the key.
    pub key_id: Uuid,
    /// Name for people.
    pub name: String,
    /// Last characters of the key.
    pub hint: String,
    /// Scopes of the key, as text.
    pub scopes: Vec<String>,
    /// The user who created it.
    pub created_by: String,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last use, accurate to a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Time of revocation.
    pub revoked_at: Option<DateTime<Utc>>,
    /// False if this deployment did not write the key, or no longer has the master key that signed it. Such
    /// a key does not work.
    pub is_proven: bool,
}

/// The tenant that a key belongs to, and that tenant's state.
#[derive(Clone, Debug)]
pub struct ApiKeyOwner {
    /// Id of the key.
    pub key_id: Uuid,
    /// Tenant whose data the key gives access to.
    pub tenant_id: TenantId,
    /// Scopes of the key.
    pub scopes: Vec<ApiScope>,
    /// True if the bot is still installed in the workspace.
    pub is_installed: bool,
    /// Reason why the bot's token is dead, if it is.
    pub disabled_reason: Option<String>,
    /// Reason given by the operator who suspended the workspace, if it is suspended.
    pub suspended_reason: Option<String>,
}

/// Stores a new key's digest and metadata. Returns false if the id already exists.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    new: &NewApiKey,
    key: &SecretString,
) -> Result<bool, DbError> {
    let text = key.expose_secret();
    let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let digest = digest(text);
    let (tenant, created_by) = (tenant_id.as_str(), new.created_by.as_str());
    let grant = ApiKeyGrant { key_id: new.key_id, tenant, digest: &digest, scopes: &scopes, created_by };
    let signature = tx.master_keys().sign(grant.statement().as_bytes());
    let inserted = sqlx::query!(
        "insert into api_keys (key_id, tenant_id, name, digest, hint, scopes, created_by, proof, master_key_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (key_id) do nothing",
        new.key_id,
        tenant_id.as_str(),
        new.name,
        digest,
        text.get(text.len().saturating_sub(API_KEY_HINT_CHARS)..).unwrap_or_default(),
        &scopes,
        created_by,
        signature.tag,
        signature.master_key_id,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Returns the owner of a key and records its use; `None` if the key is unknown or revoked, or this
/// deployment did not write it. This query returns the tenant, so it cannot be limited to one.
pub async fn find_owner(tx: &mut Tx, key: &str) -> Result<Option<ApiKeyOwner>, DbError> {
    // The use is recorded at most once a minute: a program may send many requests in that time.
    let row = sqlx::query!(
        r#"with touched as (
               update api_keys set last_used_at = now()
               where digest = $1 and revoked_at is null
                 and (last_used_at is null or last_used_at < now() - interval '1 minute'))
           select key_id, tenant_id, k.scopes, k.digest, k.created_by, k.proof, k.master_key_id,
                  i.tenant_id is not null as "is_installed!",
                  disabled_reason as "disabled_reason?", suspended_reason
           from api_keys k join tenants using (tenant_id) left join installations i using (tenant_id)
           where digest = $1 and revoked_at is null"#,
        digest(key),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (key_id, tenant, created_by) = (row.key_id, row.tenant_id.as_str(), row.created_by.as_str());
    let grant = ApiKeyGrant { key_id, tenant, digest: &row.digest, scopes: &row.scopes, created_by };
    if !grant.is_proven(&*tx.master_keys(), row.proof, row.master_key_id) {
        tracing::warn!(tenant_id = tenant, "API key without valid proof refused: {key_id}");
        metrics::counter!(UNPROVEN_ROWS, "table" => "api_keys").increment(1);
        return Ok(None);
    }
    Ok(Some(ApiKeyOwner {
        key_id,
        scopes: ApiScope::parse_known(&row.scopes),
        tenant_id: row.tenant_id.into(),
        is_installed: row.is_installed,
        disabled_reason: row.disabled_reason,
        suspended_reason: row.suspended_reason,
    }))
}

/// Lists a tenant's keys: active ones first, then newest first.
pub async fn list(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<ApiKey>, DbError> {
    let rows = sqlx::query!(
        "select key_id, name, hint, scopes, created_by, created_at, last_used_at, revoked_at, digest, proof,
                master_key_id
         from api_keys where tenant_id = $1
         order by revoked_at desc nulls first, created_at desc limit 200",
        tenant_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let master_keys = tx.master_keys();
    let keys = rows.into_iter().map(|row| {
        let (key_id, created_by) = (row.key_id, row.created_by.as_str());
        let (tenant, digest, scopes) = (tenant_id.as_str(), &row.digest, &row.scopes);
        let grant = ApiKeyGrant { key_id, tenant, digest, scopes, created_by };
        let is_proven = grant.is_proven(&*master_keys, row.proof, row.master_key_id);
        ApiKey {
            key_id,
            name: row.name,
            hint: row.hint,
            scopes: row.scopes,
            created_by: row.created_by,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            is_proven,
        }
    });
    Ok(keys.collect())
}

/// Counts a tenant's active keys.
pub async fn count_active(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_keys where tenant_id = $1 and revoked_at is null"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Result of revoking a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// The key was active and is revoked now.
    Revoked,
    /// The key was revoked before.
    AlreadyRevoked,
    /// The tenant has no such key.
    NotFound,
}

/// Revokes a key. Without its proof it stays revoked, whatever is written to the row.
pub async fn revoke(tx: &mut Tx, tenant_id: &TenantId, key_id: Uuid) -> Result<RevokeOutcome, DbError> {
    let revoked = sqlx::query!(
        "update api_keys set revoked_at = now(), proof = null, master_key_id = null
         where tenant_id = $1 and key_id = $2 and revoked_at is null",
        tenant_id.as_str(),
        key_id,
    )
    .execute(&mut *tx)
    .await?;
    if revoked.rows_affected() == 1 {
        return Ok(RevokeOutcome::Revoked);
    }
    let exists = sqlx::query_scalar!(
        r#"select exists (select from api_keys where tenant_id = $1 and key_id = $2) as "known!""#,
        tenant_id.as_str(),
        key_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(if exists { RevokeOutcome::AlreadyRevoked } else { RevokeOutcome::NotFound })
}

fn digest(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}
