//! The table `encryption_keys`: each tenant's data keys, wrapped.

use std::collections::HashMap;
use std::sync::Arc;

use crypto::{Binding, DataKey, KeyProvider, WrappedKey};
use models::TenantId;
use moka::sync::Cache;
use secrecy::SecretString;
use uuid::Uuid;

use crate::{Db, DbError, Tx};

/// Maximum number of cached unwrapped keys. A key has 32 bytes; unwrapping one takes microseconds.
const MAX_CACHED_KEYS: u64 = 10_000;

/// The master keys, and a cache of unwrapped data keys.
#[derive(Clone)]
pub(crate) struct KeyCache {
    master: Arc<dyn KeyProvider>,
    unwrapped: Cache<Uuid, Arc<DataKey>>,
    /// Last known current key of installed tenants. It may be outdated, so use it only where Postgres
    /// compares it before storing.
    current: Cache<String, Arc<DataKey>>,
}

impl KeyCache {
    pub(crate) fn new(master: Arc<dyn KeyProvider>) -> Self {
        Self { master, unwrapped: Cache::new(MAX_CACHED_KEYS), current: Cache::new(MAX_CACHED_KEYS) }
    }

    /// Drops the tenants' cached current keys, so that they are read again.
    pub(crate) fn invalidate_current(&self, tenant_ids: &[String]) {
        tenant_ids.iter().for_each(|tenant_id| self.current.invalidate(tenant_id));
    }

    pub(crate) fn master(&self) -> Arc<dyn KeyProvider> {
        Arc::clone(&self.master)
    }

    fn unwrap(&self, tenant_id: &str, stored: &WrappedKey) -> Result<Arc<DataKey>, DbError> {
        if let Some(key) = self.unwrapped.get(&stored.id) {
            return Ok(key);
        }
        let key = Arc::new(self.master.unwrap(tenant_id, stored)?);
        self.unwrapped.insert(stored.id, Arc::clone(&key));
        Ok(key)
    }
}

/// Evicts cached keys of all tenants that are no longer stored. Data encrypted with a deleted key must become
/// unreadable, also from a backup.
pub(crate) async fn evict_deleted(tx: &mut Tx) -> Result<(), DbError> {
    let keys = tx.keys();
    let cached: Vec<Uuid> = keys.unwrapped.iter().map(|(key_id, _)| *key_id).collect();
    let deleted = sqlx::query_scalar!(
        r#"select key_id as "key_id!" from unnest($1::uuid[]) as kept (key_id)
           where not exists (select from encryption_keys stored where stored.key_id = kept.key_id)"#,
        &cached,
    )
    .fetch_all(tx)
    .await?;
    deleted.iter().for_each(|key_id| keys.unwrapped.invalidate(key_id));
    for (tenant_id, key) in &keys.current {
        if deleted.contains(&key.id()) {
            keys.current.invalidate(&*tenant_id);
        }
    }
    Ok(())
}

/// Deletes a tenant's keys and evicts them, which makes all its data unreadable. Other processes evict them
/// within 15 seconds. Returns the number of keys.
pub(crate) async fn delete_all(tx: &mut Tx, tenant_id: &TenantId) -> Result<u64, DbError> {
    let deleted = sqlx::query_scalar!(
        "delete from encryption_keys where tenant_id = $1 returning key_id",
        tenant_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let keys = tx.keys();
    deleted.iter().for_each(|key_id| keys.unwrapped.invalidate(key_id));
    keys.current.invalidate(tenant_id.as_str());
    Ok(deleted.len() as u64)
}

/// An encrypted column. Together with the tenant it forms the binding of a ciphertext.
#[derive(Clone, Copy)]
pub(crate) struct ColumnRef {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
}

impl ColumnRef {
    pub(crate) fn binding<'a>(&'a self, tenant_id: &'a TenantId) -> Binding<'a> {
        Binding { table: self.table, column: self.column, tenant: tenant_id.as_str() }
    }
}

/// Returns the tenant's current key, creating it for a new tenant. Concurrent calls agree on one key.
pub(crate) async fn get_or_create_current(
    tx: &mut Tx,
    tenant_id: &TenantId,
) -> Result<Arc<DataKey>, DbError> {
    if let Some(key) = find_current(tx, tenant_id).await? {
        return Ok(key);
    }
    let fresh = tx.keys().master.wrap(tenant_id.as_str(), &DataKey::generate())?;
    sqlx::query!(
        "insert into encryption_keys (key_id, tenant_id, master_key_id, wrapped_key) values ($1, $2, $3, $4)
         on conflict do nothing",
        fresh.id,
        tenant_id.as_str(),
        fresh.master_key_id,
        fresh.wrapped,
    )
    .execute(&mut *tx)
    .await?;
    find_current(tx, tenant_id).await?.ok_or(DbError::NotInstalled)
}

/// Returns the tenant's current key.
pub(crate) async fn current(tx: &mut Tx, tenant_id: &TenantId) -> Result<Arc<DataKey>, DbError> {
    find_current(tx, tenant_id).await?.ok_or(DbError::NotInstalled)
}

async fn find_current(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<Arc<DataKey>>, DbError> {
    let row = sqlx::query_as!(
        WrappedKeyRow,
        "select tenant_id, key_id, master_key_id, wrapped_key from encryption_keys
         where tenant_id = $1 and retired_at is null",
        tenant_id.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    row.map(|row| row.unwrap(&tx.keys())).transpose()
}

/// The current keys of tenants that have an installation.
#[derive(Default)]
pub(crate) struct ActiveKeys {
    /// Keys by tenant.
    pub(crate) keys: HashMap<String, Arc<DataKey>>,
    /// Tenants whose key cannot be opened, with the error.
    pub(crate) broken: HashMap<String, DbError>,
}

/// Returns the current keys of those tenants that have an installation.
pub(crate) async fn list_active(tx: &mut Tx, tenant_ids: &[String]) -> Result<ActiveKeys, DbError> {
    let rows = sqlx::query_as!(
        WrappedKeyRow,
        r#"select tenant_id as "tenant_id!", key_id as "key_id!", master_key_id as "master_key_id!",
                  wrapped_key as "wrapped_key!"
           from active_data_keys($1)"#,
        tenant_ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    let (cache, mut active) = (tx.keys(), ActiveKeys::default());
    for row in rows {
        let tenant_id = row.tenant_id.clone();
        match row.unwrap(&cache) {
            Ok(key) => drop(active.keys.insert(tenant_id, key)),
            Err(error) => drop(active.broken.insert(tenant_id, error)),
        }
    }
    Ok(active)
}

/// Returns the current keys of installed tenants, possibly from the cache. They may be outdated: the
/// statement that stores data encrypted with them must check that.
pub(crate) async fn list_active_cached(db: &Db, tenant_ids: &[String]) -> Result<ActiveKeys, DbError> {
    let cached = |tenant_id: &String| Some((tenant_id.clone(), db.keys().current.get(tenant_id)?));
    let mut keys: HashMap<_, _> = tenant_ids.iter().filter_map(cached).collect();
    let mut broken = HashMap::new();
    if keys.len() < tenant_ids.len() {
        let missing: Vec<String> = tenant_ids.iter().filter(|id| !keys.contains_key(*id)).cloned().collect();
        let stored = list_active(&mut db.begin_cross_tenant().await?, &missing).await?;
        for (tenant_id, key) in stored.keys {
            db.keys().current.insert(tenant_id.clone(), Arc::clone(&key));
            keys.insert(tenant_id, key);
        }
        broken = stored.broken;
    }
    Ok(ActiveKeys { keys, broken })
}

/// Decrypts a value that was encrypted with any of the tenant's keys.
pub(crate) async fn open(
    tx: &mut Tx,
    tenant_id: &TenantId,
    column: ColumnRef,
    sealed: &[u8],
) -> Result<SecretString, DbError> {
    let key_id = crypto::key_id(sealed)?;
    let keys = tx.keys();
    let key = match keys.unwrapped.get(&key_id) {
        Some(key) => key,
        None => {
            let row = sqlx::query_as!(
                WrappedKeyRow,
                "select tenant_id, key_id, master_key_id, wrapped_key from encryption_keys
                 where tenant_id = $1 and key_id = $2",
                tenant_id.as_str(),
                key_id,
            )
            .fetch_optional(&mut *tx)
            .await?;
            row.ok_or(crypto::SealError::AuthenticationFailed)?.unwrap(&keys)?
        }
    };
    Ok(key.open(column.binding(tenant_id), sealed)?)
}

/// Decrypts a value with a cached key, without a query; `None` if the key is not cached.
pub(crate) fn open_cached(
    keys: &KeyCache,
    tenant_id: &TenantId,
    column: ColumnRef,
    sealed: &[u8],
) -> Result<Option<SecretString>, DbError> {
    let key = keys.unwrapped.get(&crypto::key_id(sealed)?);
    Ok(key.map(|key| key.open(column.binding(tenant_id), sealed)).transpose()?)
}

struct WrappedKeyRow {
    tenant_id: String,
    key_id: Uuid,
    master_key_id: String,
    wrapped_key: Vec<u8>,
}

impl WrappedKeyRow {
    fn unwrap(self, keys: &KeyCache) -> Result<Arc<DataKey>, DbError> {
        let stored =
            WrappedKey { id: self.key_id, master_key_id: self.master_key_id, wrapped: self.wrapped_key };
        keys.unwrap(&self.tenant_id, &stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_cache_is_bounded() -> Result<(), crypto::MasterKeysError> {
        let master = crypto::MasterKeys::parse("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")?;
        let keys = KeyCache::new(Arc::new(master));
        let key = Arc::new(DataKey::generate());
        for id in 0..u128::from(MAX_CACHED_KEYS) + 500 {
            keys.unwrapped.insert(Uuid::from_u128(id), Arc::clone(&key));
        }
        keys.unwrapped.run_pending_tasks();
        assert!(keys.unwrapped.entry_count() <= MAX_CACHED_KEYS, "{}", keys.unwrapped.entry_count());
        Ok(())
    }
}
