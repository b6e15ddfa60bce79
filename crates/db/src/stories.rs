//! The whole story of one event, over `events`, `threads` and `replies`: everything but the words.

use chrono::{DateTime, Utc};
use models::{EventId, TenantId};
use serde::Deserialize;
use sqlx::types::Json;

use crate::{DbError, Tx};

/// What is known of an event.
#[derive(Clone, Debug)]
pub struct EventStory {
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
    pub failures: Json<Vec<FailedTry>>,
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
pub struct FailedTry {
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
) -> Result<Option<EventStory>, DbError> {
    Ok(sqlx::query_as!(
        EventStory,
        r#"select e.kind, e.channel_id, e.thread_ts, e.message_ts, e.user_id, e.received_at, e.stop_requested_at,
                  e.not_before, e.attempts, e.attempts_log as "failures: Json<Vec<FailedTry>>", e.outcome, e.reason,
                  e.finished_at, t.state as "thread_state?", r.message_ts as "reply_ts?",
                  r.posting_since as "posting_since?"
           from events e
           left join threads t using (tenant_id, channel_id, thread_ts)
           left join replies r on r.tenant_id = e.tenant_id and r.seq = e.seq
           where e.tenant_id = $1 and e.event_id = $2"#,
        tenant_id.as_str(),
        event_id.as_str(),
    )
    .fetch_optional(tx)
    .await?)
}
