//! The table `events`: what Slack sent and what is to be done about it. An event that stands here is queued; it gets here
//! through `deliveries`.

use std::time::Duration;

use models::{EventBody, MessageTs, Outcome, TenantId, ThreadKey, UserId};
use secrecy::ExposeSecret;

use crate::keys::{self, Column};
use crate::{DbError, Tx};

pub(crate) const BODY: Column = Column { table: "events", column: "body" };

/// Failed tries of one event that are kept; a redriven one may have more.
const KEPT_FAILURES: i32 = 20;

/// Characters of a failed try's reason.
const REASON_CHARS: i32 = 500;

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

/// A message that has waited for long without anybody having begun with it.
#[derive(Clone, Debug)]
pub struct Delayed {
    /// Whose message it is.
    pub tenant_id: TenantId,
    /// Where its answer will go.
    pub thread: ThreadKey,
    /// The message.
    pub message_ts: Option<MessageTs>,
    /// Who wrote it.
    pub user_id: UserId,
}

/// Seconds after which a message has waited for long; and after which it is too late to say so.
const DELAYED_AFTER: [f64; 2] = [10.0, 40.0];

/// The people who have waited for long and were not told so, each with one of their messages; from now on they count as
/// told. Not those whose thread is at work, or waits for an upstream.
pub async fn take_delayed(tx: &mut Tx, limit: i64) -> Result<Vec<Delayed>, DbError> {
    let [after, until] = DELAYED_AFTER;
    let rows = sqlx::query!(
        r#"with late as materialized (
               select e.seq, e.tenant_id, e.user_id from events e
               join threads t using (tenant_id, channel_id, thread_ts)
               where e.outcome is null and e.kind = 'message' and e.attempts = 0 and e.throttled_since is null
                 and e.delay_told_at is null and t.state = 'ready'
                 and e.received_at between now() - make_interval(secs => $2) and now() - make_interval(secs => $1)
               order by e.received_at limit 1000
           ), people as (
               select tenant_id, user_id, min(seq) as first_seq from late
               group by tenant_id, user_id order by first_seq limit $3
           ), told as (
               update events e set delay_told_at = now()
               from late join people using (tenant_id, user_id)
               where e.seq = late.seq and e.delay_told_at is null
               returning e.seq, e.tenant_id, e.channel_id, e.thread_ts, e.message_ts, e.user_id
           )
           select tenant_id, channel_id, thread_ts, message_ts, user_id from told
           where seq in (select first_seq from people)"#,
        after,
        until,
        limit,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Delayed {
            tenant_id: row.tenant_id.into(),
            thread: ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() },
            message_ts: row.message_ts.map(MessageTs::from),
            user_id: row.user_id.into(),
        })
        .collect())
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
