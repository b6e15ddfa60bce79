//! The table `event_inbox`: acknowledged events that are not in `events` yet (`migrations/0003_queue.sql`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crypto::DataKey;
use models::{InboundEvent, Relevance, TenantId};
use sqlx::{AssertSqlSafe, Row};

use crate::events::{EVENT_BODY, TracedPayload};
use crate::keys::ActiveKeys;
use crate::listener::INBOX_CHANNEL;
use crate::{DbError, PinnedConnection, Tx, keys, sql_literal};

/// Maximum number of batches moved in one transaction. The next commit has to flush the WAL of this
/// transaction too, and waits for it.
const MAX_DRAIN_BATCHES: i32 = 16;

/// Attempts to store a batch when a workspace's key changes meanwhile.
const MAX_RESEAL_ATTEMPTS: usize = 3;

/// Counts of moved events by result, for `enablebot_events_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnqueueStats {
    /// Stored in `events`, to be answered.
    pub stored: u64,
    /// Already known by one of the three idempotency keys.
    pub duplicate: u64,
    /// In threads that the bot is not part of.
    pub not_for_bot: u64,
    /// From workspaces without an installation.
    pub not_installed: u64,
}

impl EnqueueStats {
    /// Returns the total number of events.
    pub fn total(&self) -> u64 {
        self.stored + self.duplicate + self.not_for_bot + self.not_installed
    }
}

/// The result of storing a batch.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// Number of events that were left out because their workspace has no installation.
    pub not_installed: u64,
    /// Workspaces whose events were not stored because their key cannot be opened.
    pub failed_tenants: HashSet<TenantId>,
}

/// Stores a batch as one row and commits it. The events may belong to several tenants; one whose key cannot
/// be opened is logged and left out.
pub async fn append_batch(
    session: &mut PinnedConnection,
    events: &[&InboundEvent],
) -> Result<BatchResult, DbError> {
    let tenant_ids = unique_tenant_ids(events);
    for _ in 0..MAX_RESEAL_ATTEMPTS {
        let ActiveKeys { keys, broken } = keys::list_active_cached(session.db(), &tenant_ids).await?;
        let rows = SealedRows::seal(events, &keys)?;
        let sealed_count = rows.events.len();
        if sealed_count == 0 || session.fetch_one(&append_statement(&keys, &rows)).await?.try_get(0)? {
            for (tenant_id, error) in &broken {
                tracing::error!(tenant_id, error = %error, "events not stored: the workspace's key cannot be opened");
            }
            let failed_tenants: HashSet<_> = broken.into_keys().map(TenantId::new).collect();
            let failed = events.iter().filter(|event| failed_tenants.contains(&event.tenant_id)).count();
            let not_installed = (events.len() - sealed_count - failed) as u64;
            return Ok(BatchResult { not_installed, failed_tenants });
        }
        session.db().keys().invalidate_current(&tenant_ids);
    }
    Err(DbError::KeyChanged)
}

/// Stores an event in the caller's transaction. Stores nothing if its workspace has no installation.
pub async fn append(tx: &mut Tx, event: &InboundEvent) -> Result<(), DbError> {
    let events = [event];
    for _ in 0..MAX_RESEAL_ATTEMPTS {
        let ActiveKeys { keys, broken } = keys::list_active(tx, &unique_tenant_ids(&events)).await?;
        if let Some(error) = broken.into_values().next() {
            return Err(error);
        }
        let rows = SealedRows::seal(&events, &keys)?;
        if rows.events.is_empty() {
            return Ok(());
        }
        let sql = append_statement(&keys, &rows);
        if sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(tx.connection()).await?.try_get(0)? {
            let notify = format!("select pg_notify('{INBOX_CHANNEL}', '')");
            sqlx::raw_sql(AssertSqlSafe(notify)).execute(tx.connection()).await?;
            return Ok(());
        }
    }
    Err(DbError::KeyChanged)
}

/// Builds the statement that stores a batch. It returns false and stores nothing if a key is no longer the
/// current key of its workspace.
fn append_statement(keys: &HashMap<String, Arc<DataKey>>, rows: &SealedRows<'_>) -> String {
    let mut sql = String::from("select inbox_append(");
    sql.reserve(rows.estimate_sql_len());
    sql_literal::push_text_array(&mut sql, keys.keys().map(|tenant_id| Some(tenant_id.as_str())));
    sql.push(',');
    sql_literal::push_scalar_array(&mut sql, keys.values().map(|key| key.id()));
    rows.push_columns(&mut sql);
    sql.push(')');
    sql
}

/// Moves the oldest batches into `events`, which makes their threads ready; `None` if the inbox is empty.
/// Waits if another instance is doing the same.
pub async fn enqueue_pending(session: &mut PinnedConnection) -> Result<Option<EnqueueStats>, DbError> {
    let columns = "event_count, installed_count, relevant_count, stored_count";
    let row = session.fetch_one(&format!("select {columns} from inbox_drain({MAX_DRAIN_BATCHES})")).await?;
    let Some(events) = row.try_get::<Option<i64>, _>("event_count")? else { return Ok(None) };
    let count = |column| row.try_get::<Option<i64>, _>(column).map(Option::unwrap_or_default);
    let (installed, relevant, stored) =
        (count("installed_count")?, count("relevant_count")?, count("stored_count")?);
    Ok(Some(EnqueueStats {
        stored: stored.unsigned_abs(),
        duplicate: (relevant - stored).unsigned_abs(),
        not_for_bot: (installed - relevant).unsigned_abs(),
        not_installed: (events - installed).unsigned_abs(),
    }))
}

/// Returns the last batch in the inbox.
pub async fn find_last_batch(tx: &mut Tx) -> Result<Option<i64>, DbError> {
    Ok(sqlx::query_scalar!("select max(batch_id) from event_inbox").fetch_one(tx).await?)
}

/// Returns whether the inbox still has a batch up to `last`.
pub async fn has_pending(tx: &mut Tx, last: i64) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from event_inbox where batch_id <= $1) as "waiting!""#,
        last
    )
    .fetch_one(tx)
    .await?)
}

fn unique_tenant_ids(events: &[&InboundEvent]) -> Vec<String> {
    let mut tenant_ids: Vec<String> = events.iter().map(|event| event.tenant_id.to_string()).collect();
    tenant_ids.sort_unstable();
    tenant_ids.dedup();
    tenant_ids
}

/// The events of a batch whose workspace has an installation, with their encrypted bodies.
#[derive(Default)]
struct SealedRows<'a> {
    events: Vec<&'a InboundEvent>,
    bodies: Vec<Vec<u8>>,
}

impl<'a> SealedRows<'a> {
    /// Encrypts the events, sorted by message: messages of one thread must be queued in the order in which
    /// they were written.
    fn seal(events: &[&'a InboundEvent], keys: &HashMap<String, Arc<DataKey>>) -> Result<Self, DbError> {
        let mut sorted = events.to_vec();
        sorted.sort_by_key(|event| (&event.tenant_id, &event.thread, &event.message_ts, &event.event_id));
        let mut rows = Self::default();
        for event in sorted {
            if let Some(key) = keys.get(event.tenant_id.as_str()) {
                let body = match &event.traceparent {
                    Some(_) => serde_json::to_string(&TracedPayload::of(event))?,
                    None => serde_json::to_string(&event.payload)?,
                };
                rows.bodies.push(key.seal(EVENT_BODY.binding(&event.tenant_id), &body)?);
                rows.events.push(event);
            }
        }
        Ok(rows)
    }

    /// Returns the approximate length of the statement in bytes.
    fn estimate_sql_len(&self) -> usize {
        let ids = self.events.len() * 200;
        ids + self.bodies.iter().map(|body| body.len() * 2).sum::<usize>()
    }

    /// Appends the columns in the order of `inbox_append`'s parameters.
    fn push_columns(&self, sql: &mut String) {
        let mut push = |column: fn(&InboundEvent) -> Option<&str>| {
            sql.push(',');
            sql_literal::push_text_array(sql, self.events.iter().map(|event| column(event)));
        };
        push(|event| Some(event.tenant_id.as_str()));
        push(|event| Some(event.event_id.as_str()));
        push(|event| Some(event.payload.kind()));
        push(|event| Some(event.thread.channel_id.as_str()));
        push(|event| Some(event.thread.thread_ts.as_str()));
        push(|event| event.message_ts.as_ref().map(|ts| ts.as_str()));
        push(|event| event.client_msg_id.as_deref());
        push(|event| Some(event.user_id.as_str()));
        sql.push(',');
        sql_literal::push_bytes(sql, self.bodies.iter().map(Vec::as_slice));
        sql.push(',');
        let starts = self.bodies.iter().scan(1, |next, body| {
            let start = *next;
            *next += body.len();
            Some(start)
        });
        sql_literal::push_scalar_array(sql, starts);
        sql.push(',');
        sql_literal::push_scalar_array(sql, self.bodies.iter().map(Vec::len));
        sql.push(',');
        sql_literal::push_scalar_array(
            sql,
            self.events.iter().map(|event| event.relevance == Relevance::Addressed),
        );
    }
}
