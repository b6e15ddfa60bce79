//! The table `events`: the queue of events from Slack, with their state. Events get here through
//! `event_inbox`.

use std::borrow::Cow;

use models::{EventOutcome, EventPayload, InboundEvent, TenantId, ThreadKey};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const EVENT_BODY: ColumnRef = ColumnRef { table: "events", column: "body" };

/// Maximum number of failed attempts kept per event; a redriven event may have had more.
const MAX_LOGGED_FAILURES: i32 = 20;

/// Maximum length of a failure's reason, in characters.
const MAX_REASON_CHARS: i32 = 500;

/// Finishes an event. The payload is kept only for dead letters, which can be redriven. Returns false if it has
/// ended before, because its author was forgotten.
pub async fn finish(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    outcome: EventOutcome,
    reason: Option<&str>,
) -> Result<bool, DbError> {
    let finished = sqlx::query!(
        "update events set outcome = $3, reason = $4, finished_at = now(), not_before = null,
             body = case when $5 then body end
         where tenant_id = $1 and seq = $2 and outcome is null",
        tenant_id.as_str(),
        seq,
        outcome.as_str(),
        reason,
        outcome == EventOutcome::DeadLettered,
    )
    .execute(tx)
    .await?;
    Ok(finished.rows_affected() == 1)
}

/// Returns whether an event has not ended.
pub async fn is_open(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from events where tenant_id = $1 and seq = $2 and outcome is null) as "open!""#,
        tenant_id.as_str(),
        seq,
    )
    .fetch_one(tx)
    .await?)
}

/// Adds a failed attempt to the event's log, which keeps the latest `MAX_LOGGED_FAILURES`. `reason` never
/// contains the text of a message.
pub async fn record_failure(
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
        MAX_LOGGED_FAILURES,
        MAX_REASON_CHARS,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Length of the whole queue, and age of its oldest event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueState {
    /// Number of events without an outcome.
    pub depth: i64,
    /// Age of the oldest one, in seconds.
    pub oldest_seconds: f64,
}

/// Returns the state of the whole queue.
pub async fn queue_state(tx: &mut Tx) -> Result<QueueState, DbError> {
    let row = sqlx::query!(
        r#"select count(*) as "depth!",
                  coalesce(extract(epoch from now() - min(received_at)), 0)::float8 as "oldest_seconds!"
           from (select received_at from events where outcome is null
                 union all
                 select received_at from event_inbox, generate_series(1, event_count)) as waiting"#,
    )
    .fetch_one(tx)
    .await?;
    Ok(QueueState { depth: row.depth, oldest_seconds: row.oldest_seconds })
}

/// Returns the number of a tenant's unfinished events.
pub async fn count_pending(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from events where tenant_id = $1 and outcome is null"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// An event's payload with its trace context. They are encrypted together, so the trace needs no column and
/// stays with the event across retries.
#[derive(Serialize, Deserialize)]
pub(crate) struct TracedPayload<'a> {
    #[serde(flatten)]
    body: Cow<'a, EventPayload>,
    traceparent: Option<Cow<'a, str>>,
}

impl<'a> TracedPayload<'a> {
    pub(crate) fn of(event: &'a InboundEvent) -> Self {
        let traceparent = event.traceparent.as_deref().map(Cow::Borrowed);
        Self { body: Cow::Borrowed(&event.payload), traceparent }
    }
}

/// Decrypts an event's payload and returns it with its trace context, if it has one. Reads the payload again
/// if its key was replaced since `sealed` was read.
///
/// # Errors
/// The payload was encrypted for another column or tenant, or its key is deleted.
pub async fn open_payload(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    sealed: &[u8],
) -> Result<(EventPayload, Option<String>), DbError> {
    let opened = match keys::open(tx, tenant_id, EVENT_BODY, sealed).await {
        Err(DbError::Seal(_)) => {
            let current = sqlx::query_scalar!(
                "select body from events where tenant_id = $1 and seq = $2",
                tenant_id.as_str(),
                seq
            )
            .fetch_optional(&mut *tx)
            .await?;
            keys::open(tx, tenant_id, EVENT_BODY, current.flatten().as_deref().unwrap_or_default()).await?
        }
        opened => opened?,
    };
    let TracedPayload { body, traceparent } = serde_json::from_str(opened.expose_secret())?;
    Ok((body.into_owned(), traceparent.map(Cow::into_owned)))
}

/// Requests that the reply in progress in a thread stops, and notifies the worker. Messages that are not
/// started yet are not affected. Returns whether a reply was in progress.
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

/// Returns those of the given events for which a stop was requested.
pub async fn list_stopped(tx: &mut Tx, seqs: &[i64]) -> Result<Vec<i64>, DbError> {
    Ok(sqlx::query_scalar!(
        "select seq from events where seq = any($1) and outcome is null and stop_requested_at is not null",
        seqs,
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the next number of the `events` sequence, for replies without an event.
pub async fn next_seq(tx: &mut Tx) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(r#"select nextval(pg_get_serial_sequence('events', 'seq')) as "seq!""#)
        .fetch_one(tx)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traced_body_is_backward_compatible() {
        let revoked = EventPayload::TokensRevoked { event_time: 7, bot_user_ids: vec!["U1".into()] };
        for body in [EventPayload::Welcome, revoked] {
            let mut event = InboundEvent::system_event("T1".into(), "Ev1".into(), None, body.clone());
            event.traceparent = Some("00-4bf9-00f0-01".into());
            let traced = serde_json::to_string(&TracedPayload::of(&event)).unwrap();
            assert_eq!(serde_json::from_str::<EventPayload>(&traced).unwrap(), body);
            let read: TracedPayload<'_> = serde_json::from_str(&traced).unwrap();
            assert_eq!((&*read.body, read.traceparent.as_deref()), (&body, event.traceparent.as_deref()));
            let plain = serde_json::to_string(&body).unwrap();
            let read: TracedPayload<'_> = serde_json::from_str(&plain).unwrap();
            assert_eq!((&*read.body, read.traceparent), (&body, None));
        }
    }
}
