//! The encryption keys of all tenants, and the progress of a rotation.

use chrono::{DateTime, TimeDelta, Utc};
use models::TenantId;
use uuid::Uuid;

use crate::{DbError, Tx};

/// A master key, and the data that needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyState {
    /// Id of the key.
    pub id: String,
    /// Data keys wrapped by it, including retired ones.
    pub data_keys: i64,
    /// Active API keys signed with it.
    pub api_keys: i64,
    /// Deletion receipts signed with it.
    pub receipts: i64,
    /// True if it is in this process's `ENCRYPTION_KEYS`.
    pub is_known: bool,
}

impl MasterKeyState {
    /// Returns true if data or API keys become useless without this key.
    pub fn is_needed(&self) -> bool {
        self.data_keys > 0 || self.api_keys > 0
    }
}

/// State of all keys.
#[derive(Clone, Debug)]
pub struct KeyState {
    /// The keys of `ENCRYPTION_KEYS` in their order, then other keys that are still needed.
    pub master_keys: Vec<MasterKeyState>,
    /// Creation time of the oldest current data key.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Returns the state of all keys.
pub async fn load_key_state(tx: &mut Tx) -> Result<KeyState, DbError> {
    let needed = sqlx::query!(
        r#"select master_key_id as "id!", coalesce(data_keys, 0) as "data_keys!", coalesce(receipts, 0) as "receipts!",
                  coalesce(api_keys, 0) as "api_keys!", oldest_at
           from (select master_key_id, count(*) as data_keys,
                        min(created_at) filter (where retired_at is null) as oldest_at
                 from encryption_keys group by master_key_id) as wrapping
           full join (select detail ->> 'master_key_id' as master_key_id, count(*) as receipts
                      from audit_log where action = 'deleted' group by 1) as signing using (master_key_id)
           full join (select master_key_id, count(*) as api_keys
                      from api_keys where proof is not null group by 1) as proving using (master_key_id)
           where master_key_id is not null order by master_key_id"#
    )
    .fetch_all(&mut *tx)
    .await?;
    let oldest_at = needed.iter().filter_map(|row| row.oldest_at).min();
    let provider = tx.master_keys();
    let mut masters: Vec<MasterKeyState> = provider
        .ids()
        .into_iter()
        .map(|id| MasterKeyState {
            id: id.to_owned(),
            data_keys: 0,
            api_keys: 0,
            receipts: 0,
            is_known: true,
        })
        .collect();
    for row in needed {
        let (id, data_keys, api_keys, receipts) = (row.id, row.data_keys, row.api_keys, row.receipts);
        match masters.iter_mut().find(|master| master.id == id) {
            Some(master) => {
                (master.data_keys, master.api_keys, master.receipts) = (data_keys, api_keys, receipts);
            }
            None => masters.push(MasterKeyState { id, data_keys, api_keys, receipts, is_known: false }),
        }
    }
    Ok(KeyState { master_keys: masters, oldest_at })
}

/// Numbers of data keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataKeyCounts {
    /// Keys that encrypt.
    pub current: i64,
    /// Keys that only decrypt, until everything they encrypted is re-encrypted.
    pub retired: i64,
    /// Current keys that are due for rotation.
    pub due: i64,
}

/// Counts the data keys; current keys older than `older_than` are due.
pub async fn count_data_keys(tx: &mut Tx, older_than: TimeDelta) -> Result<DataKeyCounts, DbError> {
    Ok(sqlx::query_as!(
        DataKeyCounts,
        r#"select count(*) filter (where retired_at is null) as "current!",
                  count(*) filter (where retired_at is not null) as "retired!",
                  count(*) filter (where retired_at is null and created_at < now() - make_interval(secs => $1))
                      as "due!"
           from encryption_keys"#,
        older_than.num_seconds() as f64,
    )
    .fetch_one(tx)
    .await?)
}

/// A retired data key.
#[derive(Clone, Debug)]
pub struct RetiredDataKey {
    /// Tenant of the key.
    pub tenant_id: TenantId,
    /// Id of the key.
    pub key_id: Uuid,
    /// Time at which it was replaced.
    pub retired_at: DateTime<Utc>,
}

/// Lists the retired data keys that still exist, oldest first.
pub async fn list_retired_keys(tx: &mut Tx, limit: i64) -> Result<Vec<RetiredDataKey>, DbError> {
    Ok(sqlx::query_as!(
        RetiredDataKey,
        r#"select tenant_id, key_id, retired_at as "retired_at!" from encryption_keys
           where retired_at is not null order by retired_at, key_id limit $1"#,
        limit,
    )
    .fetch_all(tx)
    .await?)
}
