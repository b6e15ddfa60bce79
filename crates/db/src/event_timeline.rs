//! The timeline of one event, from `events` or `event_history`, `threads` and `replies`, without any message
//! text.

use chrono::{DateTime, Utc};
use models::{EventId, TenantId};
use serde::Deserialize;
use sqlx::types::Json;

use crate::{DbError, Tx};

/// An event with its attempts and outcome.
#[derive(Clone, Debug)]
pub struct EventTimeline {
    /// Kind of the event.
    pub kind: String,
    /// Channel of the event.
    pub channel_id: String,
    /// Thread of the reply; empty if the event is not a message.
    pub thread_ts: String,
    /// Timestamp of the message.
    pub message_ts: Option<String>,
    /// User who caused it; empty if it was Slack itself.
    pub user_id: String,
    /// Time of arrival.
    pub received_at: DateTime<Utc>,
    /// Time at which "Stop" was pressed.
    pub stop_requested_at: Option<DateTime<Utc>>,
    /// Earliest time of the next attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// Attempts since it arrived or was last redriven.
    pub attempts: i32,
    /// The latest failed attempts, oldest first.
    pub failures: Json<Vec<AttemptFailure>>,
    /// Outcome; `None` while it is unfinished.
    pub outcome: Option<String>,
    /// Reason of the outcome.
    pub reason: Option<String>,
    /// Time at which it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// State of its thread (idle, ready, leased or backoff); `None` once the thread is deleted.
    pub thread_state: Option<String>,
    /// Slack message that the reply was last written to.
    pub reply_ts: Option<String>,
    /// Time since which it is unknown if a message was posted; `None` if it is known.
    pub posting_since: Option<DateTime<Utc>>,
}

/// A failed attempt.
#[derive(Clone, Debug, Deserialize)]
pub struct AttemptFailure {
    /// Time of the failure.
    pub at: DateTime<Utc>,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// Reason of the failure.
    pub reason: String,
}

/// Returns an event that the bot handles or has handled.
pub async fn find(
    tx: &mut Tx,
    tenant_id: &TenantId,
    event_id: &EventId,
) -> Result<Option<EventTimeline>, DbError> {
    Ok(sqlx::query_as!(
        EventTimeline,
        r#"with told as (
               select e.seq, e.kind, e.channel_id, e.thread_ts, e.message_ts, e.user_id, e.received_at,
                      e.stop_requested_at, e.not_before, e.attempts, e.attempts_log, e.outcome, e.reason, e.finished_at,
                      r.message_ts as reply_ts, r.posting_since
               from events e left join replies r on r.tenant_id = e.tenant_id and r.seq = e.seq
               where e.tenant_id = $1 and e.event_id = $2
               union all
               select seq, kind, channel_id, thread_ts, message_ts, user_id, received_at, stop_requested_at, null,
                      attempts, attempts_log, outcome, reason, finished_at, reply_ts, null
               from event_history where tenant_id = $1 and event_id = $2
           )
           select kind as "kind!", told.channel_id as "channel_id!", told.thread_ts as "thread_ts!", message_ts,
                  user_id as "user_id!", received_at as "received_at!", stop_requested_at, not_before,
                  attempts as "attempts!", attempts_log as "failures!: Json<Vec<AttemptFailure>>", outcome, reason,
                  finished_at, t.state as "thread_state?", reply_ts, posting_since
           from told left join threads t
               on t.tenant_id = $1 and t.channel_id = told.channel_id and t.thread_ts = told.thread_ts
           order by seq limit 1"#,
        tenant_id.as_str(),
        event_id.as_str(),
    )
    .fetch_optional(tx)
    .await?)
}
