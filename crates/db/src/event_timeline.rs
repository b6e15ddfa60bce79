//! The whole story of one event, over `events` or `event_history`, `threads` and `replies`: everything but the words.

use chrono::{DateTime, Utc};
use models::{EventId, TenantId};
use serde::Deserialize;
use sqlx::types::Json;

use crate::{DbError, Tx};

/// What is known of an event.
#[derive(Clone, Debug)]
pub struct EventTimeline {
    /// What it asks for.
    pub kind: String,
    /// Where it happened.
    pub channel_id: String,
    /// The thread in which it is answered; empty where no message is behind it.
    pub thread_ts: String,
    /// The message's own `ts`.
    pub message_ts: Option<String>,
    /// Who did it; empty where Slack itself did.
    pub user_id: String,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When somebody pressed "Stop".
    pub stop_requested_at: Option<DateTime<Utc>>,
    /// Before this time there is no next try.
    pub not_before: Option<DateTime<Utc>>,
    /// Tries since it came, or was redriven last.
    pub attempts: i32,
    /// The last of those that failed, oldest first.
    pub failures: Json<Vec<AttemptFailure>>,
    /// How it ended; `None` while it waits.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether its thread is idle, ready, leased or in backoff; `None` once that is forgotten.
    pub thread_state: Option<String>,
    /// The message of Slack that was filled last with the answer.
    pub reply_ts: Option<String>,
    /// Since when it has not been known whether a message was posted.
    pub posting_since: Option<DateTime<Utc>>,
}

/// A try that failed.
#[derive(Clone, Debug, Deserialize)]
pub struct AttemptFailure {
    /// When.
    pub at: DateTime<Utc>,
    /// Which it was, from 1.
    pub attempt: i32,
    /// Why.
    pub reason: String,
}

/// Looks an event up that something is done about.
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
