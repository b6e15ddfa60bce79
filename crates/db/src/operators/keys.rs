//! The keys of all tenants, and how far a rotation has come.

use chrono::{DateTime, Utc};

use crate::{DbError, Tx};

/// A master key, and what it wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyState {
    /// Its id.
    pub id: String,
    /// Data keys under it, retired ones too.
    pub data_keys: i64,
    /// Whether it is among `ENCRYPTION_KEYS` here.
    pub is_known: bool,
}

/// The keys of all tenants.
#[derive(Clone, Debug)]
pub struct KeyState {
    /// Those of `ENCRYPTION_KEYS` in their order, then what else wraps something.
    pub masters: Vec<MasterKeyState>,
    /// When the oldest data key was made that still seals.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Looks at all keys.
pub async fn keys(tx: &mut Tx) -> Result<KeyState, DbError> {
    let wrapped = sqlx::query!(
        r#"select master_key_id, count(*) as "count!", min(created_at) filter (where retired_at is null) as oldest_at
           from encryption_keys group by master_key_id order by master_key_id"#
    )
    .fetch_all(&mut *tx)
    .await?;
    let oldest_at = wrapped.iter().filter_map(|row| row.oldest_at).min();
    let mut masters: Vec<MasterKeyState> = tx
        .master_keys()
        .ids()
        .map(|id| MasterKeyState { id: id.to_owned(), data_keys: 0, is_known: true })
        .collect();
    for row in wrapped {
        match masters.iter_mut().find(|master| master.id == row.master_key_id) {
            Some(master) => master.data_keys = row.count,
            None => {
                let (id, data_keys) = (row.master_key_id, row.count);
                masters.push(MasterKeyState { id, data_keys, is_known: false });
            }
        }
    }
    Ok(KeyState { masters, oldest_at })
}
