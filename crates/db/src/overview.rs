//! Data of the dashboard's overview, from `usage`, `feedback` and `events`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};
use serde::Deserialize;
use sqlx::types::Json;

use crate::{DbError, Tx};

/// Totals of the questions that finished within the window.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct QuestionTotals {
    /// Answered questions.
    pub answered: i64,
    /// Failed questions, which got an apology.
    pub failed: i64,
    /// Refused questions: the person may not ask, may not ask there, or the budget is used up.
    pub refused: i64,
    /// Questions stopped by the person who asked.
    pub stopped: i64,
    /// Unfinished questions, whenever they arrived.
    pub waiting: i64,
    /// People who asked.
    pub people: i64,
    /// Median of the seconds from the question to the first token.
    pub first_token_p50: Option<f64>,
    /// 95th percentile of the seconds from the question to the first token.
    pub first_token_p95: Option<f64>,
    /// Median of the seconds from the question to the complete reply.
    pub total_p50: Option<f64>,
    /// 95th percentile of the seconds from the question to the complete reply.
    pub total_p95: Option<f64>,
    /// Prompt tokens.
    pub prompt_tokens: i64,
    /// Completion tokens.
    pub completion_tokens: i64,
    /// Cost in millionths of a dollar.
    pub cost_micros: i64,
    /// Number of thumbs up.
    pub liked: i64,
    /// Number of thumbs down.
    pub disliked: i64,
}

impl QuestionTotals {
    /// Returns the number of finished questions.
    pub fn ended(&self) -> i64 {
        self.answered + self.failed + self.refused + self.stopped
    }
}

/// Questions of one step of the window.
#[derive(Clone, Debug, Deserialize)]
pub struct OverviewBucket {
    /// Start of the step.
    pub begins_at: DateTime<Utc>,
    /// Answered questions.
    pub answered: i64,
    /// Failed questions.
    pub failed: i64,
    /// Refused or stopped questions.
    pub refused: i64,
    /// Median of the seconds to the first token.
    pub first_token_p50: Option<f64>,
    /// Median of the seconds to the complete reply.
    pub total_p50: Option<f64>,
    /// Cost of the replies, in millionths of a dollar.
    pub cost_micros: i64,
}

/// A reason for which questions were not answered.
#[derive(Clone, Debug, Deserialize)]
pub struct FailureReason {
    /// Outcome of the questions.
    pub outcome: String,
    /// Reason.
    pub reason: String,
    /// Number of questions.
    pub count: i64,
}

/// The overview of a window.
#[derive(Clone, Debug, Deserialize)]
pub struct UsageOverview {
    /// Value of [`load_version`] at that time; another value means there is newer data.
    pub version: String,
    /// Totals over the window.
    pub totals: QuestionTotals,
    /// Buckets, oldest first, including empty ones.
    pub buckets: Vec<OverviewBucket>,
    /// The most frequent reasons for which questions were not answered.
    pub reasons: Vec<FailureReason>,
}

/// The time range of an overview.
#[derive(Clone, Copy, Debug)]
pub struct OverviewWindow {
    /// Length of the window in seconds, up to now.
    pub seconds: f64,
    /// Length of a bucket in seconds.
    pub step: f64,
}

/// Returns the overviews of some of a tenant's people, each with at most `reasons` reasons; `None` in
/// `people` stands for the whole tenant.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    people: &[Option<UserId>],
    window: OverviewWindow,
    reasons: i32,
) -> Result<HashMap<Option<UserId>, UsageOverview>, DbError> {
    let names: Vec<String> =
        people.iter().map(|person| person.as_ref().map_or_else(String::new, ToString::to_string)).collect();
    let rows = sqlx::query!(
        r#"select person as "person!", overview as "overview!: Json<UsageOverview>"
           from dashboard_overview($1, $2, $3, $4, $5)"#,
        tenant_id.as_str(),
        &names,
        window.seconds,
        window.step,
        reasons,
    )
    .fetch_all(tx)
    .await?;
    let person = |name: String| (!name.is_empty()).then(|| UserId::from(name));
    Ok(rows.into_iter().map(|row| (person(row.person), row.overview.0)).collect())
}

/// Events of a tenant: the latest traffic, and stuck events.
#[derive(Clone, Debug)]
pub struct EventTraffic {
    /// Time of the newest event.
    pub newest_at: Option<DateTime<Utc>>,
    /// Time of arrival of the oldest unfinished event.
    pub oldest_waiting_at: Option<DateTime<Utc>>,
    /// Number of dead letters.
    pub dead_letters: i64,
    /// Reason of the newest dead letter.
    pub last_error: Option<String>,
    /// Time at which someone last opened the conversation with the bot, or its Home.
    pub opened_at: Option<DateTime<Utc>>,
}

/// Returns the event traffic of a tenant.
pub async fn load_traffic(tx: &mut Tx, tenant_id: &TenantId) -> Result<EventTraffic, DbError> {
    Ok(sqlx::query_as!(
        EventTraffic,
        r#"select greatest(
                      (select max(finished_at) from events where tenant_id = $1 and outcome is not null),
                      (select max(received_at) from events where tenant_id = $1 and outcome is null),
                      (select max(received_at) from event_history where tenant_id = $1),
                      (select max(received_at) from ignored_events where tenant_id = $1)) as newest_at,
                  (select min(received_at) from events where tenant_id = $1 and outcome is null)
                      as oldest_waiting_at,
                  (select count(*) from events where tenant_id = $1 and outcome = 'set_aside') as "dead_letters!",
                  (select reason from events where tenant_id = $1 and outcome = 'set_aside'
                   order by finished_at desc limit 1) as last_error,
                  greatest((select max(finished_at) from events where tenant_id = $1 and outcome is not null
                            and kind in ('conversation_opened', 'home_opened')),
                           (select max(finished_at) from event_history where tenant_id = $1
                            and kind in ('conversation_opened', 'home_opened'))) as opened_at"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// Returns a value that changes when a question of a tenant, or of one person, arrives or finishes.
pub async fn load_version(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
) -> Result<String, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select overview_version($1, $2) as "version!""#,
        tenant_id.as_str(),
        user_id.map(UserId::as_str),
    )
    .fetch_one(tx)
    .await?)
}
