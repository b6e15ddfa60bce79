//! The table `events`: what Slack sent and what is to be done about it. Storing an event is queueing it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crypto::DataKey;
use models::{EventBody, InboundEvent, Outcome, Relevance, TenantId, ThreadKey};
use secrecy::ExposeSecret;

use crate::keys::{self, Column};
use crate::{DbError, Tx};

const BODY: Column = Column { table: "events", column: "body" };

/// Failed tries of one event that are kept; a redriven one may have more.
const KEPT_FAILURES: i32 = 20;

/// Characters of a failed try's reason.
const REASON_CHARS: i32 = 500;

/// What became of a batch, for `enablebot_events_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// Stored, and to be answered.
    pub stored: u64,
    /// Known under one of the three keys.
    pub duplicate: u64,
    /// In threads in which the bot takes no part.
    pub not_addressed: u64,
    /// Of workspaces without an installation.
    pub not_installed: u64,
}

impl Enqueued {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.stored + self.duplicate + self.not_addressed + self.not_installed
    }
}

/// Stores a batch and makes its threads ready (`migrations/0013_queue_life.sql`): what was seen before is dropped by
/// the insert itself, and the workers are told once. The events may be of many tenants.
pub async fn enqueue(tx: &mut Tx, events: &[InboundEvent]) -> Result<Enqueued, DbError> {
    let keys = keys::list_of_installed(tx, &tenants_of(events)).await?;
    let rows = Rows::seal(events, &keys)?;
    let counts = sqlx::query!(
        r#"select relevant_count as "relevant!", stored_count as "stored!"
           from enqueue_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
        &rows.tenant_ids,
        &rows.event_ids,
        &rows.kinds,
        &rows.channel_ids,
        &rows.thread_tss,
        &rows.message_tss as &[Option<String>],
        &rows.client_msg_ids as &[Option<String>],
        &rows.user_ids,
        &rows.bodies,
        &rows.addressed,
    )
    .fetch_one(tx)
    .await?;
    let (known, relevant, stored) =
        (rows.addressed.len() as u64, counts.relevant.unsigned_abs(), counts.stored.unsigned_abs());
    Ok(Enqueued {
        stored,
        duplicate: relevant - stored,
        not_addressed: known - relevant,
        not_installed: events.len() as u64 - known,
    })
}

pub(crate) fn tenants_of(events: &[InboundEvent]) -> Vec<String> {
    let mut tenant_ids: Vec<String> = events.iter().map(|event| event.tenant_id.to_string()).collect();
    tenant_ids.sort_unstable();
    tenant_ids.dedup();
    tenant_ids
}

/// A batch, column by column, as `unnest` takes it.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) tenant_ids: Vec<String>,
    pub(crate) event_ids: Vec<String>,
    pub(crate) kinds: Vec<String>,
    pub(crate) channel_ids: Vec<String>,
    pub(crate) thread_tss: Vec<String>,
    pub(crate) message_tss: Vec<Option<String>>,
    pub(crate) client_msg_ids: Vec<Option<String>>,
    pub(crate) user_ids: Vec<String>,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) addressed: Vec<bool>,
}

impl Rows {
    /// Two batches that share messages take their locks in the same order, since each is sorted by message.
    pub(crate) fn seal(
        events: &[InboundEvent],
        keys: &HashMap<String, Arc<DataKey>>,
    ) -> Result<Self, DbError> {
        let mut sorted: Vec<&InboundEvent> = events.iter().collect();
        sorted.sort_by_key(|event| (&event.tenant_id, &event.thread, &event.message_ts, &event.event_id));
        let mut rows = Self::default();
        for event in sorted {
            if let Some(key) = keys.get(event.tenant_id.as_str()) {
                rows.push(event, key)?;
            }
        }
        Ok(rows)
    }

    fn push(&mut self, event: &InboundEvent, key: &DataKey) -> Result<(), DbError> {
        let body = serde_json::to_string(&event.body)?;
        self.bodies.push(key.seal(BODY.of(&event.tenant_id), &body)?);
        self.tenant_ids.push(event.tenant_id.to_string());
        self.event_ids.push(event.event_id.to_string());
        self.kinds.push(event.body.kind().to_owned());
        self.channel_ids.push(event.thread.channel_id.to_string());
        self.thread_tss.push(event.thread.thread_ts.to_string());
        self.message_tss.push(event.message_ts.as_ref().map(ToString::to_string));
        self.client_msg_ids.push(event.client_msg_id.clone());
        self.user_ids.push(event.user_id.to_string());
        self.addressed.push(event.relevance == Relevance::Addressed);
        Ok(())
    }
}

/// Ends an event; what was written in it is dropped with an answer and kept for another try otherwise.
pub async fn finish(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    outcome: Outcome,
    reason: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update events set outcome = $3, reason = $4, finished_at = now(), not_before = null,
             body = case when $5 then body end
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        outcome.as_str(),
        reason,
        outcome == Outcome::SetAside,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Why an event waits for its next try, and how long.
#[derive(Clone, Copy, Debug)]
pub struct PutOff<'a> {
    /// How long.
    pub pause: Duration,
    /// Whether the try that failed was one, or was only held back.
    pub counts: bool,
    /// Why.
    pub reason: &'a str,
}

/// Puts an event off: it is tried again after a pause.
pub async fn put_off(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    put_off: PutOff<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update events set not_before = now() + $3::bigint * interval '1 millisecond', reason = $4,
             attempts = attempts - case when $5 then 0 else 1 end,
             throttled_since = case when $5 then throttled_since else coalesce(throttled_since, now()) end
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        i64::try_from(put_off.pause.as_millis()).unwrap_or(i64::MAX),
        put_off.reason,
        put_off.counts,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds a failed try to the event's story, of which the last so many are kept. `reason` is never what people wrote.
pub async fn note_failure(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    attempt: i32,
    reason: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "update events set attempts_log =
             case when jsonb_array_length(attempts_log) < $5 then attempts_log else attempts_log - 0 end
             || jsonb_build_object('at', now(), 'attempt', $3::int, 'reason', left($4::text, $6))
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        attempt,
        reason,
        KEPT_FAILURES,
        REASON_CHARS,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// How much waits, of all tenants, and how long the oldest has, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueState {
    /// Events without an outcome.
    pub depth: i64,
    /// Seconds since the oldest of them came.
    pub oldest_seconds: f64,
}

/// Looks at the whole queue.
pub async fn queue_state(tx: &mut Tx) -> Result<QueueState, DbError> {
    let row = sqlx::query!(
        r#"select count(*) as "depth!",
                  coalesce(extract(epoch from now() - min(received_at)), 0)::float8 as "oldest_seconds!"
           from (select received_at from events where outcome is null
                 union all
                 select received_at from deliveries, generate_series(1, event_count)) as waiting"#,
    )
    .fetch_one(tx)
    .await?;
    Ok(QueueState { depth: row.depth, oldest_seconds: row.oldest_seconds })
}

/// How many events of a tenant wait.
pub async fn count_waiting(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from events where tenant_id = $1 and outcome is null"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Opens what is to be done about an event.
///
/// # Errors
/// The body was sealed for another place or under a key that is gone.
pub async fn open_body(tx: &mut Tx, tenant_id: &TenantId, sealed: &[u8]) -> Result<EventBody, DbError> {
    let body = keys::open(tx, tenant_id, BODY, sealed).await?;
    Ok(serde_json::from_str(body.expose_secret())?)
}

/// Marks the message that is being answered in a thread as unwanted, and tells whoever answers it at once. One that
/// nobody has begun with is another question. Whether there was one.
pub async fn request_stop(tx: &mut Tx, tenant_id: &TenantId, thread: &ThreadKey) -> Result<bool, DbError> {
    let stopped = sqlx::query_scalar!(
        "update events set stop_requested_at = now()
         where tenant_id = $1 and channel_id = $2 and thread_ts = $3 and outcome is null and kind = 'message'
           and (attempts > 0 or throttled_since is not null)
         returning pg_notify('enablebot_stops', seq::text) is null",
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(!stopped.is_empty())
}

/// Of these events, by their number, those that somebody wants stopped.
pub async fn list_stopped(tx: &mut Tx, seqs: &[i64]) -> Result<Vec<i64>, DbError> {
    Ok(sqlx::query_scalar!(
        "select seq from events where seq = any($1) and outcome is null and stop_requested_at is not null",
        seqs,
    )
    .fetch_all(tx)
    .await?)
}
