//! Rotation of data keys: a key is replaced and everything it encrypts is re-encrypted, without downtime. All
//! state is in the tables, so that any process can continue a rotation. `web/jobs/key_rotation.rs` runs the steps in
//! this order:
//!
//! 1. [`rotate_data_key`]: the tenant gets a new current key. Writers read the current key in the transaction
//!    that stores, so only transactions that were open at that time can still use the old one.
//! 2. Wait until the transactions of [`list_open_transactions`] have ended and the inbox is drained into the
//!    tables that step 3 reads.
//! 3. [`reencrypt`], page by page, until nothing remains.
//! 4. Wait for open transactions once more: they may have read values that were not re-encrypted yet.
//! 5. [`delete_unused_keys`]: deletes the old key, which also makes its data in backups unreadable.

mod encrypted_columns;
mod lock;
mod open_transactions;
mod reencrypt;
mod verify;

use chrono::{DateTime, TimeDelta, Utc};
use crypto::{DataKey, WrappedKey};
use models::TenantId;
use uuid::Uuid;

pub use self::encrypted_columns::{
    EncryptedColumn, Remaining, check_catalog, count_remaining, encrypted_columns,
};
pub use self::lock::RotationLock;
pub use self::open_transactions::{has_open_transactions, list_open_transactions};
pub use self::reencrypt::{ReencryptCursor, ReencryptPage, reencrypt};
pub use self::verify::{DecryptReport, list_tenants, verify};
use crate::{DbError, Tx};

/// Data keys rewrapped in one transaction.
const REWRAP_BATCH: i64 = 200;

/// Tenants that a rotation covers. They are rotated one after the other.
#[derive(Clone, Debug, Default)]
pub struct RotationScope {
    /// Only these tenants; all if empty.
    pub tenant_ids: Vec<TenantId>,
}

impl RotationScope {
    fn ids(&self) -> Vec<String> {
        self.tenant_ids.iter().map(ToString::to_string).collect()
    }
}

/// The result of rewrapping some data keys.
#[derive(Debug, Default)]
pub struct RewrapPage {
    /// Number of rewrapped keys.
    pub rewrapped: u64,
    /// Tenants with a key that cannot be opened, and the error.
    pub failed: Vec<(TenantId, DbError)>,
    /// The last key of the page; `None` if there was none.
    pub last_key: Option<Uuid>,
}

/// Rewraps the next data keys after `after` with the first master key, if they are wrapped with another known
/// one. Skips keys that another process is rewrapping, and keys that cannot be opened.
pub async fn rewrap(tx: &mut Tx, scope: &RotationScope, after: Option<Uuid>) -> Result<RewrapPage, DbError> {
    let provider = tx.master_keys();
    let known: Vec<String> = provider.ids().into_iter().skip(1).map(str::to_owned).collect();
    let rows = sqlx::query!(
        "select tenant_id, key_id, master_key_id, wrapped_key from encryption_keys
         where master_key_id = any($1) and (cardinality($2::text[]) = 0 or tenant_id = any($2))
           and ($3::uuid is null or key_id > $3)
         order by key_id limit $4 for no key update skip locked",
        &known,
        &scope.ids(),
        after,
        REWRAP_BATCH,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut page = RewrapPage { last_key: rows.last().map(|row| row.key_id), ..RewrapPage::default() };
    for row in rows {
        let stored =
            WrappedKey { id: row.key_id, master_key_id: row.master_key_id, wrapped: row.wrapped_key };
        let key = match provider.unwrap(&row.tenant_id, &stored) {
            Ok(key) => key,
            Err(error) => {
                page.failed.push((row.tenant_id.into(), error.into()));
                continue;
            }
        };
        let wrapped = provider.wrap(&row.tenant_id, &key)?;
        sqlx::query!(
            "update encryption_keys set master_key_id = $2, wrapped_key = $3 where key_id = $1",
            wrapped.id,
            wrapped.master_key_id,
            wrapped.wrapped,
        )
        .execute(&mut *tx)
        .await?;
        page.rewrapped += 1;
    }
    Ok(page)
}

/// Lists the tenants whose current key is older than `older_than`, and those that still have a retired key.
pub async fn list_due(
    tx: &mut Tx,
    scope: &RotationScope,
    older_than: TimeDelta,
) -> Result<Vec<TenantId>, DbError> {
    let due = sqlx::query_scalar!(
        "select tenant_id from encryption_keys
         where (retired_at is not null or created_at < now() - make_interval(secs => $1))
           and (cardinality($2::text[]) = 0 or tenant_id = any($2))
         group by tenant_id order by min(created_at), tenant_id",
        seconds(older_than),
        &scope.ids(),
    )
    .fetch_all(tx)
    .await?;
    Ok(due.into_iter().map(TenantId::from).collect())
}

/// Creates a new current key for a tenant if its key was made before `made_before`. Returns the new key's id;
/// `None` if nothing was due.
pub async fn rotate_data_key(
    tx: &mut Tx,
    tenant_id: &TenantId,
    made_before: DateTime<Utc>,
) -> Result<Option<Uuid>, DbError> {
    // In the same order in which a deletion takes its locks.
    sqlx::query!("select true as here from tenants where tenant_id = $1 for key share", tenant_id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let retired = sqlx::query!(
        "update encryption_keys set retired_at = now()
         where tenant_id = $1 and retired_at is null and created_at < $2",
        tenant_id.as_str(),
        made_before,
    )
    .execute(&mut *tx)
    .await?;
    if retired.rows_affected() == 0 {
        return Ok(None);
    }
    let fresh = tx.master_keys().wrap(tenant_id.as_str(), &DataKey::generate())?;
    sqlx::query!(
        "insert into encryption_keys (key_id, tenant_id, master_key_id, wrapped_key) values ($1, $2, $3, $4)",
        fresh.id,
        tenant_id.as_str(),
        fresh.master_key_id,
        fresh.wrapped,
    )
    .execute(tx)
    .await?;
    Ok(Some(fresh.id))
}

/// Deletes a tenant's retired keys that encrypt nothing any more, and returns their number.
pub async fn delete_unused_keys(tx: &mut Tx, tenant_id: &TenantId) -> Result<u64, DbError> {
    check_catalog(tx).await?;
    let needed: Vec<Uuid> =
        count_remaining(tx, tenant_id).await?.into_iter().map(|remaining| remaining.key_id).collect();
    let dropped = sqlx::query!(
        "delete from encryption_keys where tenant_id = $1 and retired_at is not null and key_id <> all($2)",
        tenant_id.as_str(),
        &needed,
    )
    .execute(tx)
    .await?;
    Ok(dropped.rows_affected())
}

/// Returns the server's current time.
pub async fn server_time(tx: &mut Tx) -> Result<DateTime<Utc>, DbError> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(tx).await?)
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.num_seconds() as f64
}
