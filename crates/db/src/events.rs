//! The table `events`: what Slack sent and what is to be done about it. An event that stands here is queued; it gets here
//! through `deliveries`.

use std::borrow::Cow;

use models::{EventOutcome, EventPayload, InboundEvent, TenantId, ThreadKey};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::keys::{self, ColumnRef};
use crate::{DbError, Tx};

pub(crate) const EVENT_BODY: ColumnRef = ColumnRef { table: "events", column: "body" };

/// Failed tries of one event that are kept; a redriven one may have more.
const MAX_LOGGED_FAILURES: i32 = 20;

/// Characters of a failed try's reason.
const MAX_REASON_CHARS: i32 = 500;

/// Ends an event; what was written in it is dropped with an answer and kept for another try otherwise.
pub async fn finish(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    outcome: EventOutcome,
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
        outcome == EventOutcome::DeadLettered,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds a failed try to the event's story, of which the last so many are kept. `reason` is never what people wrote.
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
pub async fn count_pending(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from events where tenant_id = $1 and outcome is null"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// What is to be done, and in which trace. They are sealed together: so a trace needs no column, and is where the event is,
/// whoever tries it and however late.
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

/// Opens what is to be done about an event, as it was read or, where its key was replaced since, as it stands now; and
/// where that stands in its trace, if it is in one.
///
/// # Errors
/// The body was sealed for another place or under a key that is gone.
pub async fn open_payload(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    sealed: &[u8],
) -> Result<(EventPayload, Option<String>), DbError> {
    let opened = match keys::open(tx, tenant_id, EVENT_BODY, sealed).await {
        Err(DbError::Seal(_)) => {
            let anew = sqlx::query_scalar!(
                "select body from events where tenant_id = $1 and seq = $2",
                tenant_id.as_str(),
                seq
            )
            .fetch_optional(&mut *tx)
            .await?;
            keys::open(tx, tenant_id, EVENT_BODY, anew.flatten().as_deref().unwrap_or_default()).await?
        }
        opened => opened?,
    };
    let TracedPayload { body, traceparent } = serde_json::from_str(opened.expose_secret())?;
    Ok((body.into_owned(), traceparent.map(Cow::into_owned)))
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

/// A number of the events' own row, for what is answered without an event.
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
