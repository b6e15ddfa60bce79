//! The list of all columns encrypted with a tenant's data key. A binary column that is missing here, because
//! it is from a newer release or was forgotten, stops every rotation before a key is replaced or deleted.

use models::TenantId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::keys::ColumnRef;
use crate::{
    DbError, Tx, chat_memory, events, installations, people, profiles, replies, sessions, settings, tokens,
};

/// Encrypted columns of a table, and the query for a tenant's rows.
#[derive(Clone, Copy)]
pub(super) struct EncryptedTable {
    pub(super) columns: &'static [ColumnRef],
    /// Condition for a tenant's rows; the tenant is `$1`.
    pub(super) rows: &'static str,
    /// Columns that order a tenant's rows, with their types.
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
        columns: &[sessions::SESSION_NAME, sessions::SESSION_EMAIL, sessions::SESSION_BROWSER],
        rows: BY_TENANT,
        order: &[("session_digest", "bytea")],
    },
    EncryptedTable {
        columns: &[people::PERSON_NAME, profiles::PROFILE, profiles::PROFILE_OVERRIDE],
        rows: BY_TENANT,
        order: &[("user_id", "text")],
    },
    // Each half has an index, the whole has none.
    EncryptedTable {
        columns: &[events::EVENT_BODY],
        rows: "tenant_id = $1 and (outcome is null or outcome is not null)",
        order: &[("seq", "bigint")],
    },
    // Found through their events, because they have no index on the tenant.
    EncryptedTable {
        columns: &[replies::REPLY_TEXT_COLUMN, replies::REPLY_PARTIAL_TEXT_COLUMN],
        rows: "seq in (select seq from events where tenant_id = $1 and (outcome is null or outcome is not null))",
        order: &[("seq", "bigint")],
    },
    EncryptedTable {
        columns: &[chat_memory::MEMORY_TEXT],
        rows: BY_TENANT,
        order: &[("channel_id", "text"), ("thread_ts", "text"), ("message_id", "bigint")],
    },
];

/// Binary columns not encrypted with a data key. The bodies in `event_inbox` are encrypted for `events`, and
/// are moved there before a key is deleted.
const UNENCRYPTED_COLUMNS: [&str; 11] = [
    "api_keys.digest",
    "api_keys.proof",
    "audit_chains.hash",
    "audit_chains.purged_hash",
    "audit_log.hash",
    "encryption_keys.wrapped_key",
    "event_inbox.joined_bodies",
    "oauth_states.browser_digest",
    "oauth_states.state_digest",
    "sessions.proof",
    "sessions.session_digest",
];

/// An encrypted column.
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

/// Returns every encrypted column.
pub fn encrypted_columns() -> impl Iterator<Item = EncryptedColumn> {
    ENCRYPTED_TABLES
        .into_iter()
        .flat_map(|table| table.columns.iter().map(move |&column| EncryptedColumn { table, column }))
}

/// Checks that every binary column of the database is listed here.
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
    let sealed: Vec<String> = encrypted_columns().map(|column| format!("{column:?}")).collect();
    let is_known = |name: &String| sealed.contains(name) || UNENCRYPTED_COLUMNS.contains(&name.as_str());
    match columns.into_iter().find(|name| !is_known(name)) {
        Some(name) => Err(DbError::UnknownColumn(name)),
        None => Ok(()),
    }
}

/// Values still encrypted with one of a tenant's retired keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Id of the key.
    pub key_id: Uuid,
    /// Table and column.
    pub column: String,
    /// Number of values.
    pub values: i64,
}

/// Counts the values still encrypted with a tenant's retired keys, by column.
pub async fn count_remaining(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<Remaining>, DbError> {
    let retired = list_retired(tx, tenant_id).await?;
    let mut remaining = Vec::new();
    if retired.is_empty() {
        return Ok(remaining);
    }
    tx.disable_statement_timeout().await?;
    for target in encrypted_columns() {
        let (ColumnRef { table, column }, rows) = (target.column, target.table.rows);
        let sql = format!(
            "select substring({column} from 2 for 16), count(*) from {table}
             where {rows} and substring({column} from 2 for 16) = any($2) group by 1"
        );
        let counted: Vec<(Vec<u8>, i64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(tenant_id.as_str())
            .bind(key_id_bytes(&retired))
            .fetch_all(&mut *tx)
            .await?;
        remaining.extend(counted.into_iter().filter_map(|(key_id, values)| {
            Some(Remaining { key_id: Uuid::from_slice(&key_id).ok()?, column: format!("{target:?}"), values })
        }));
    }
    Ok(remaining)
}

/// Lists a tenant's retired keys.
pub(super) async fn list_retired(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<Uuid>, DbError> {
    Ok(sqlx::query_scalar!(
        "select key_id from encryption_keys where tenant_id = $1 and retired_at is not null order by key_id",
        tenant_id.as_str(),
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the key ids as stored in ciphertexts, after the version byte.
pub(super) fn key_id_bytes(key_ids: &[Uuid]) -> Vec<Vec<u8>> {
    key_ids.iter().map(|key_id| key_id.as_bytes().to_vec()).collect()
}
