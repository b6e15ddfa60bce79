//! The rows of a person for their export. `personal_data.csv` says which tables and columns they are.

use std::collections::{BTreeMap, HashMap};

use models::{TenantId, UserId};
use serde_json::{Map, Value};

use crate::tenant_data::decrypt_row;
use crate::{DbError, Tx, message_text};

/// What is stored of a person, column by column: whether it is exported, how it is forgotten, and how long
/// backups hold it.
const PERSONAL_DATA_CSV: &str = include_str!("../personal_data.csv");

/// The exported rows by table.
pub type PersonRecords = BTreeMap<String, Vec<Map<String, Value>>>;

/// Returns the exported columns by table.
fn exported_columns() -> HashMap<&'static str, Vec<&'static str>> {
    let mut columns: HashMap<_, Vec<_>> = HashMap::new();
    for line in PERSONAL_DATA_CSV.lines().skip(1) {
        if let [table, column, _, "yes", ..] = line.split(',').collect::<Vec<_>>()[..] {
            columns.entry(table).or_default().push(column);
        }
    }
    columns
}

/// Returns the rows of a person, with the columns that are exported, and decrypted; without message text unless
/// `has_message_text`.
pub(crate) async fn load_records(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    has_message_text: bool,
) -> Result<PersonRecords, DbError> {
    tx.disable_statement_timeout().await?;
    let mut records = PersonRecords::new();
    for (table, columns) in exported_columns() {
        let mut readable = Vec::new();
        for row in read_rows(tx, tenant_id, user_id, table).await? {
            if let Value::Object(mut row) = row {
                if !has_message_text {
                    message_text::withhold(table, &mut row);
                }
                let mut row = decrypt_row(tx, tenant_id, table, row).await?;
                row.retain(|column, _| columns.contains(&column.as_str()));
                readable.push(row);
            }
        }
        records.insert(table.to_owned(), readable);
    }
    Ok(records)
}

async fn read_rows(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    table: &str,
) -> Result<Vec<Value>, DbError> {
    macro_rules! rows {
        ($sql:literal) => {
            sqlx::query_scalar!($sql, tenant_id.as_str(), user_id.as_str()).fetch_all(tx).await?
        };
    }
    Ok(match table {
        "people" => {
            rows!(r#"select to_jsonb(t) as "row!" from people t where tenant_id = $1 and user_id = $2"#)
        }
        "sessions" => rows!(
            r#"select to_jsonb(t) as "row!" from sessions t
               where tenant_id = $1 and user_id = $2 order by created_at"#
        ),
        "managers" => rows!(
            r#"select to_jsonb(t) as "row!" from managers t where tenant_id = $1 and (user_id = $2 or granted_by = $2)"#
        ),
        "installations" => {
            rows!(
                r#"select to_jsonb(t) as "row!" from installations t where tenant_id = $1 and installed_by = $2"#
            )
        }
        "settings" => {
            rows!(r#"select to_jsonb(t) as "row!" from settings t where tenant_id = $1 and changed_by = $2"#)
        }
        "api_keys" => rows!(
            r#"select to_jsonb(t) as "row!" from api_keys t
               where tenant_id = $1 and created_by = $2 order by created_at"#
        ),
        "exports" => rows!(
            r#"select to_jsonb(t) as "row!" from exports t
               where tenant_id = $1 and started_by = $2 order by started_at"#
        ),
        "usage" => rows!(
            r#"select to_jsonb(t) as "row!" from usage t
               where tenant_id = $1 and user_id = $2 order by created_at"#
        ),
        "reservations" => rows!(
            r#"select to_jsonb(t) as "row!" from reservations t where tenant_id = $1 and user_id = $2 order by seq"#
        ),
        "feedback" => rows!(
            r#"select to_jsonb(t) as "row!" from feedback t
               where tenant_id = $1 and user_id = $2 order by created_at"#
        ),
        "events" => rows!(
            r#"select to_jsonb(t) as "row!" from events t where tenant_id = $1 and user_id = $2
                   and (outcome is null or outcome is not null) order by seq"#
        ),
        "event_history" => rows!(
            r#"select to_jsonb(t) as "row!" from event_history t
               where tenant_id = $1 and user_id = $2 order by received_at"#
        ),
        "ignored_events" => rows!(
            r#"select to_jsonb(t) as "row!" from ignored_events t
               where tenant_id = $1 and user_id = $2 order by received_at"#
        ),
        "replies" => rows!(
            r#"select to_jsonb(t) as "row!" from replies t where tenant_id = $1 and seq in (
                   select seq from events where tenant_id = $1 and user_id = $2
                       and (outcome is null or outcome is not null)) order by seq"#
        ),
        "threads" => rows!(
            r#"select to_jsonb(t) as "row!" from threads t where tenant_id = $1 and (channel_id = $2 or channel_id in (
                   select channel_id from usage where tenant_id = $1 and user_id = $2 and channel_id like 'D%'))
               order by channel_id, thread_ts"#
        ),
        "chat_leases" => rows!(
            r#"select to_jsonb(t) as "row!" from chat_leases t where tenant_id = $1 and conversation_id in (
                   select thread_ts from chat_memory where tenant_id = $1 and channel_id = 'api' and user_id = $2)"#
        ),
        "audit_log" => rows!(
            r#"select to_jsonb(t) as "row!" from audit_log t
               where tenant_id = $1 and (actor = $2 or detail ->> 'user_id' = $2) order by entry_id"#
        ),
        _ => Vec::new(),
    })
}
