//! All stored data of a tenant, by table: the counts, and the rows in readable form. Encrypted values are
//! decrypted and secrets left out: binary columns are only exported if they are in `DECRYPTED_COLUMNS` or
//! `DIGEST_COLUMNS`.

use models::TenantId;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx, message_text};

/// Every table with rows of tenants, in the order in which they are exported.
pub const TENANT_TABLES: [&str; 24] = [
    "tenants",
    "tenant_rules",
    "installations",
    "team_access",
    "people",
    "settings",
    "managers",
    "api_keys",
    "chat_leases",
    "channels",
    "chat_memory",
    "usage",
    "reservations",
    "feedback",
    "events",
    // After `events`: a row that moves to the history meanwhile is exported twice, but never lost.
    "event_history",
    "ignored_events",
    "threads",
    "replies",
    "audit_log",
    "audit_chains",
    "exports",
    "sessions",
    "encryption_keys",
];

/// Tables that are never exported: keys, and the sessions of signed-in browsers.
pub const UNEXPORTED_TABLES: [&str; 2] = ["sessions", "encryption_keys"];

/// Returns the tables that are exported.
pub fn exported_tables() -> impl Iterator<Item = &'static str> {
    TENANT_TABLES.into_iter().filter(|table| !UNEXPORTED_TABLES.contains(table))
}

/// Columns that are decrypted for the tenant. Tokens are not included.
const DECRYPTED_COLUMNS: [ColumnRef; 11] = [
    ColumnRef { table: "sessions", column: "name" },
    ColumnRef { table: "sessions", column: "email" },
    ColumnRef { table: "sessions", column: "browser" },
    ColumnRef { table: "people", column: "name" },
    ColumnRef { table: "people", column: "profile" },
    ColumnRef { table: "people", column: "profile_override" },
    ColumnRef { table: "settings", column: "body" },
    ColumnRef { table: "chat_memory", column: "text" },
    ColumnRef { table: "events", column: "body" },
    ColumnRef { table: "replies", column: "text" },
    ColumnRef { table: "replies", column: "partial_text" },
];

/// Columns that are exported as hexadecimal digits: the hashes with which the audit log is verified.
const DIGEST_COLUMNS: [(&str, &str); 3] =
    [("audit_log", "hash"), ("audit_chains", "hash"), ("audit_chains", "purged_hash")];

/// The smallest UUID.
const MIN_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Prefix of binary values in `to_jsonb`.
const BYTEA_PREFIX: &str = "\\x";

/// Counts the rows of each table.
pub async fn count_rows(tx: &mut Tx, tenant_id: &TenantId) -> Result<Vec<(&'static str, i64)>, DbError> {
    tx.disable_statement_timeout().await?;
    let mut counts = Vec::with_capacity(TENANT_TABLES.len());
    macro_rules! count {
        ($table:literal, $sql:literal) => {
            let rows = sqlx::query_scalar!($sql, tenant_id.as_str()).fetch_one(&mut *tx).await?;
            counts.push(($table, rows.unwrap_or(0)));
        };
    }
    count!("tenants", "select count(*) from tenants where tenant_id = $1");
    count!("tenant_rules", "select count(*) from tenant_rules where tenant_id = $1");
    count!("installations", "select count(*) from installations where tenant_id = $1");
    count!("team_access", "select count(*) from team_access where tenant_id = $1");
    count!("people", "select count(*) from people where tenant_id = $1");
    count!("settings", "select count(*) from settings where tenant_id = $1");
    count!("managers", "select count(*) from managers where tenant_id = $1");
    count!("api_keys", "select count(*) from api_keys where tenant_id = $1");
    count!("chat_leases", "select count(*) from chat_leases where tenant_id = $1");
    count!("channels", "select count(*) from channels where tenant_id = $1");
    count!("chat_memory", "select count(*) from chat_memory where tenant_id = $1");
    count!("usage", "select count(*) from usage where tenant_id = $1");
    count!("reservations", "select count(*) from reservations where tenant_id = $1");
    count!("feedback", "select count(*) from feedback where tenant_id = $1");
    count!("events", "select count(*) from events where tenant_id = $1");
    count!("event_history", "select count(*) from event_history where tenant_id = $1");
    count!("ignored_events", "select count(*) from ignored_events where tenant_id = $1");
    count!("threads", "select count(*) from threads where tenant_id = $1");
    count!("replies", "select count(*) from replies where tenant_id = $1");
    count!("audit_log", "select count(*) from audit_log where tenant_id = $1");
    count!("audit_chains", "select count(*) from audit_chains where tenant_id = $1");
    count!("exports", "select count(*) from exports where tenant_id = $1");
    count!("sessions", "select count(*) from sessions where tenant_id = $1");
    count!("encryption_keys", "select count(*) from encryption_keys where tenant_id = $1");
    Ok(counts)
}

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct TablePage {
    /// Rows, each an object of its columns.
    pub rows: Vec<Map<String, Value>>,
    /// Start of the next page; `None` after the last one.
    pub next: Option<Vec<String>>,
}

struct TableRow {
    key: Vec<String>,
    row: Value,
}

/// Lists the next rows of an exported table, in key order; without message text unless `has_message_text`.
pub async fn list_rows(
    tx: &mut Tx,
    tenant_id: &TenantId,
    table: &str,
    after: Option<&[String]>,
    limit: i64,
    has_message_text: bool,
) -> Result<TablePage, DbError> {
    tx.disable_statement_timeout().await?;
    let rows = read_rows(tx, tenant_id, table, after, limit).await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
    let next = rows.last().filter(|_| is_full).map(|last| last.key.clone());
    let mut opened = Vec::with_capacity(rows.len());
    for TableRow { row, .. } in rows {
        if let Value::Object(mut row) = row {
            if !has_message_text {
                message_text::withhold(table, &mut row);
            }
            opened.push(decrypt_row(tx, tenant_id, table, row).await?);
        }
    }
    Ok(TablePage { rows: opened, next })
}

async fn read_rows(
    tx: &mut Tx,
    tenant_id: &TenantId,
    table: &str,
    after: Option<&[String]>,
    limit: i64,
) -> Result<Vec<TableRow>, DbError> {
    macro_rules! page {
        ($first:expr, $sql:literal) => {{
            let first: &[String] = &$first.map(str::to_owned);
            let after = after.unwrap_or(first);
            sqlx::query_as!(TableRow, $sql, tenant_id.as_str(), after, limit).fetch_all(tx).await?
        }};
    }
    Ok(match table {
        "tenants" => page!(
            [""],
            r#"select array[tenant_id] as "key!", to_jsonb(t) as "row!" from tenants t
               where tenant_id = $1 and tenant_id > ($2::text[])[1] limit $3"#
        ),
        "tenant_rules" => page!(
            [""],
            r#"select array[tenant_id] as "key!", to_jsonb(t) as "row!" from tenant_rules t
               where tenant_id = $1 and tenant_id > ($2::text[])[1] limit $3"#
        ),
        "installations" => page!(
            [""],
            r#"select array[tenant_id] as "key!", to_jsonb(t) as "row!" from installations t
               where tenant_id = $1 and tenant_id > ($2::text[])[1] limit $3"#
        ),
        "team_access" => page!(
            [""],
            r#"select array[team_id] as "key!", to_jsonb(t) as "row!" from team_access t
               where tenant_id = $1 and team_id > ($2::text[])[1] order by team_id limit $3"#
        ),
        "people" => page!(
            [""],
            r#"select array[user_id] as "key!", to_jsonb(t) as "row!" from people t
               where tenant_id = $1 and user_id > ($2::text[])[1] order by user_id limit $3"#
        ),
        "settings" => page!(
            [""],
            r#"select array[tenant_id] as "key!", to_jsonb(t) as "row!" from settings t
               where tenant_id = $1 and tenant_id > ($2::text[])[1] limit $3"#
        ),
        "managers" => page!(
            [""],
            r#"select array[user_id] as "key!", to_jsonb(t) as "row!" from managers t
               where tenant_id = $1 and user_id > ($2::text[])[1] order by user_id limit $3"#
        ),
        "api_keys" => page!(
            [MIN_UUID],
            r#"select array[key_id::text] as "key!", to_jsonb(t) as "row!" from api_keys t
               where tenant_id = $1 and key_id > ($2::text[])[1]::uuid order by key_id limit $3"#
        ),
        "chat_leases" => page!(
            [""],
            r#"select array[conversation_id] as "key!", to_jsonb(t) as "row!" from chat_leases t
               where tenant_id = $1 and conversation_id > ($2::text[])[1] order by conversation_id limit $3"#
        ),
        "channels" => page!(
            [""],
            r#"select array[channel_id] as "key!", to_jsonb(t) as "row!" from channels t
               where tenant_id = $1 and channel_id > ($2::text[])[1] order by channel_id limit $3"#
        ),
        "chat_memory" => page!(
            ["", "", "0"],
            r#"select array[channel_id, thread_ts, message_id::text] as "key!", to_jsonb(t) as "row!" from chat_memory t
               where tenant_id = $1
                 and (channel_id, thread_ts, message_id)
                     > (($2::text[])[1], ($2::text[])[2], ($2::text[])[3]::bigint)
               order by channel_id, thread_ts, message_id limit $3"#
        ),
        "usage" => page!(
            ["-infinity", "0"],
            r#"select array[created_at::text, seq::text] as "key!", to_jsonb(t) as "row!" from usage t
               where tenant_id = $1
                 and (created_at, seq) > (($2::text[])[1]::timestamptz, ($2::text[])[2]::bigint)
               order by created_at, seq limit $3"#
        ),
        "reservations" => page!(
            ["0"],
            r#"select array[seq::text] as "key!", to_jsonb(t) as "row!" from reservations t
               where tenant_id = $1 and seq > ($2::text[])[1]::bigint order by seq limit $3"#
        ),
        "feedback" => page!(
            ["", ""],
            r#"select array[event_id, user_id] as "key!", to_jsonb(t) as "row!" from feedback t
               where tenant_id = $1 and (event_id, user_id) > (($2::text[])[1], ($2::text[])[2])
               order by event_id, user_id limit $3"#
        ),
        "events" => page!(
            ["0"],
            r#"select array[seq::text] as "key!", to_jsonb(t) as "row!" from events t
               where tenant_id = $1 and seq > ($2::text[])[1]::bigint order by seq limit $3"#
        ),
        "event_history" => page!(
            ["-infinity", "0"],
            r#"select array[received_at::text, seq::text] as "key!", to_jsonb(t) as "row!" from event_history t
               where tenant_id = $1
                 and (received_at, seq) > (($2::text[])[1]::timestamptz, ($2::text[])[2]::bigint)
               order by received_at, seq limit $3"#
        ),
        "ignored_events" => page!(
            ["-infinity", "(0,0)"],
            r#"select array[received_at::text, ctid::text] as "key!", to_jsonb(t) as "row!" from ignored_events t
               where tenant_id = $1
                 and (received_at, ctid) > (($2::text[])[1]::timestamptz, ($2::text[])[2]::tid)
               order by received_at, ctid limit $3"#
        ),
        "threads" => page!(
            ["", ""],
            r#"select array[channel_id, thread_ts] as "key!", to_jsonb(t) as "row!" from threads t
               where tenant_id = $1 and (channel_id, thread_ts) > (($2::text[])[1], ($2::text[])[2])
               order by channel_id, thread_ts limit $3"#
        ),
        "replies" => page!(
            ["0"],
            r#"select array[seq::text] as "key!", to_jsonb(t) as "row!" from replies t
               where tenant_id = $1 and seq > ($2::text[])[1]::bigint order by seq limit $3"#
        ),
        "audit_log" => page!(
            ["0"],
            r#"select array[entry_id::text] as "key!", to_jsonb(t) as "row!" from audit_log t
               where tenant_id = $1 and entry_id > ($2::text[])[1]::bigint order by entry_id limit $3"#
        ),
        "audit_chains" => page!(
            [""],
            r#"select array[tenant_id] as "key!", to_jsonb(t) as "row!" from audit_chains t
               where tenant_id = $1 and tenant_id > ($2::text[])[1] limit $3"#
        ),
        "exports" => page!(
            [MIN_UUID],
            r#"select array[export_id::text] as "key!", to_jsonb(t) as "row!" from exports t
               where tenant_id = $1 and export_id > ($2::text[])[1]::uuid order by export_id limit $3"#
        ),
        _ => Vec::new(),
    })
}

/// Returns a row as its tenant may read it. A value that can no longer be decrypted is only marked as
/// present.
pub(crate) async fn decrypt_row(
    tx: &mut Tx,
    tenant_id: &TenantId,
    table: &str,
    row: Map<String, Value>,
) -> Result<Map<String, Value>, DbError> {
    let mut readable = Map::new();
    for (name, value) in row {
        let Some(sealed) = value.as_str().and_then(|text| text.strip_prefix(BYTEA_PREFIX)) else {
            readable.insert(name, value);
            continue;
        };
        if DIGEST_COLUMNS.contains(&(table, name.as_str())) {
            readable.insert(name, Value::from(sealed));
            continue;
        }
        let Some(column) =
            DECRYPTED_COLUMNS.into_iter().find(|column| column.table == table && column.column == name)
        else {
            continue;
        };
        let value = match keys::open(tx, tenant_id, column, &hex::decode(sealed).unwrap_or_default()).await {
            Ok(text) => to_json_value(&name, text.expose_secret()),
            Err(DbError::Seal(_)) => Value::from("(it cannot be opened any more)"),
            Err(error) => return Err(error),
        };
        readable.insert(name, value);
    }
    Ok(readable)
}

/// Columns whose text is JSON.
const JSON_COLUMNS: [&str; 3] = ["body", "profile", "profile_override"];

fn to_json_value(column: &str, text: &str) -> Value {
    let parsed = JSON_COLUMNS.contains(&column).then(|| serde_json::from_str(text).ok()).flatten();
    parsed.unwrap_or_else(|| Value::from(text))
}
