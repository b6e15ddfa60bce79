//! All that is sealed with a tenant's data key: the one list of it. A column of bytes that is not in it, of a newer release
//! or one that was forgotten here, stops every rotation before a key is replaced, and no key is deleted.

use models::TenantId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::keys::ColumnRef;
use crate::{
    DbError, Tx, chat_memory, events, installations, people, profiles, replies, sessions, settings, tokens,
};

/// Sealed columns of a table, and how a rotation finds a tenant's rows in it.
#[derive(Clone, Copy)]
pub(super) struct EncryptedTable {
    pub(super) columns: &'static [ColumnRef],
    /// A tenant's rows, the tenant being `$1`.
    pub(super) rows: &'static str,
    /// What a tenant's rows are ordered by, each with its type.
    pub(super) order: &'static [(&'static str, &'static str)],
}

const BY_TENANT: &str = "tenant_id = $1";

pub(super) const ENCRYPTED_TABLES: [EncryptedTable; 7] = [
    EncryptedTable {
        columns: &[installations::BOT_TOKEN, tokens::REFRESH_TOKEN],
        rows: BY_TENANT,
        order: &[("tenant_id", "text")],
    },
    EncryptedTable {
        columns: &[settings::SETTINGS_BODY, settings::MODEL_KEY],
        rows: BY_TENANT,
        order: &[("tenant_id", "text")],
    },
    EncryptedTable {
        columns: &[sessions::SESSION_NAME, sessions::SESSION_EMAIL],
        rows: BY_TENANT,
        order: &[("session_digest", "bytea")],
    },
    EncryptedTable {
        columns: &[people::PERSON_NAME, profiles::PROFILE, profiles::SET_PROFILE],
        rows: BY_TENANT,
        order: &[("user_id", "text")],
    },
    // Both halves have an index, the whole has none.
    EncryptedTable {
        columns: &[events::EVENT_BODY],
        rows: "tenant_id = $1 and (outcome is null or outcome is not null)",
        order: &[("seq", "bigint")],
    },
    // Found by their events, since they have no index of the tenant.
    EncryptedTable {
        columns: &[replies::REPLY_TEXT_COLUMN, replies::REPLY_PARTIAL_TEXT_COLUMN],
        rows: "seq in (select seq from events where tenant_id = $1 and (outcome is null or outcome is not null))",
        order: &[("seq", "bigint")],
    },
    EncryptedTable {
        columns: &[chat_memory::MEMORY_TEXT],
        rows: BY_TENANT,
        order: &[("channel_id", "text"), ("thread_ts", "text"), ("turn_id", "bigint")],
    },
];

/// Columns of bytes that no data key seals. What is in `deliveries` is sealed, for `events`, and is sorted into them before
/// a key goes.
const UNENCRYPTED_COLUMNS: [&str; 10] = [
    "api_keys.digest",
    "audit_chains.hash",
    "audit_chains.retired_hash",
    "audit_log.hash",
    "deliveries.bodies",
    "deliveries.joined_bodies",
    "encryption_keys.wrapped_key",
    "oauth_states.browser_digest",
    "oauth_states.state_digest",
    "sessions.session_digest",
];

/// A sealed column.
#[derive(Clone, Copy)]
pub struct EncryptedColumn {
    pub(super) table: EncryptedTable,
    pub(super) column: ColumnRef,
}

impl std::fmt::Debug for EncryptedColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.column.table, self.column.column)
    }
}

/// Every sealed column.
pub fn encrypted_columns() -> impl Iterator<Item = EncryptedColumn> {
    ENCRYPTED_TABLES
        .into_iter()
        .flat_map(|table| table.columns.iter().map(move |&column| EncryptedColumn { table, column }))
}

/// Sees to it that every column of bytes which the database has is known here.
///
/// # Errors
/// [`DbError::UnknownColumn`].
pub async fn check_catalog(tx: &mut Tx) -> Result<(), DbError> {
    let columns = sqlx::query_scalar!(
        r#"select c.relname || '.' || a.attname as "name!"
           from pg_attribute a join pg_class c on c.oid = a.attrelid
           where c.relnamespace = current_schema::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
             and a.atttypid in ('bytea'::regtype, 'bytea[]'::regtype) and not a.attisdropped
             and c.relname <> '_sqlx_migrations'
           order by 1"#
    )
    .fetch_all(tx)
    .await?;
    let sealed: Vec<String> = encrypted_columns().map(|place| format!("{place:?}")).collect();
    let is_known = |name: &String| sealed.contains(name) || UNENCRYPTED_COLUMNS.contains(&name.as_str());
    match columns.into_iter().find(|name| !is_known(name)) {
        Some(name) => Err(DbError::UnknownColumn(name)),
        None => Ok(()),
    }
}

/// What is still sealed with one of a tenant's retired keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The key.
    pub key_id: Uuid,
    /// Table and column.
    pub column: String,
    /// Values there.
    pub values: i64,
}

/// Counts what is still sealed with a tenant's retired keys, place by place.
pub async fn count_remaining(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<Remaining>, DbError> {
    let retired = list_retired(tx, tenant_id).await?;
    let mut left = Vec::new();
    if retired.is_empty() {
        return Ok(left);
    }
    tx.disable_statement_timeout().await?;
    for place in encrypted_columns() {
        let (ColumnRef { table, column }, rows) = (place.column, place.table.rows);
        let sql = format!(
            "select substring({column} from 2 for 16), count(*) from {table}
             where {rows} and substring({column} from 2 for 16) = any($2) group by 1"
        );
        let counted: Vec<(Vec<u8>, i64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(tenant_id.as_str())
            .bind(key_id_bytes(&retired))
            .fetch_all(&mut *tx)
            .await?;
        left.extend(counted.into_iter().filter_map(|(key_id, values)| {
            Some(Remaining { key_id: Uuid::from_slice(&key_id).ok()?, column: format!("{place:?}"), values })
        }));
    }
    Ok(left)
}

/// A tenant's retired keys.
pub(super) async fn list_retired(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<Uuid>, DbError> {
    Ok(sqlx::query_scalar!(
        "select key_id from encryption_keys where tenant_id = $1 and retired_at is not null order by key_id",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?)
}

/// Key ids as they stand in a ciphertext, behind the byte of its version.
pub(super) fn key_id_bytes(key_ids: &[Uuid]) -> Vec<Vec<u8>> {
    key_ids.iter().map(|key_id| key_id.as_bytes().to_vec()).collect()
}
