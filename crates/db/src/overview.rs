//! What the dashboard's overview tells, over `usage`, `feedback` and `events`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};
use serde::Deserialize;
use sqlx::types::Json;

use crate::{DbError, Tx};

/// What became of the questions that ended in that time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct QuestionTotals {
    /// With an answer.
    pub answered: i64,
    /// Given up, with an apology.
    pub failed: i64,
    /// Of people who may not ask, or not there, or not any more this month.
    pub refused: i64,
    /// Stopped by whoever asked.
    pub stopped: i64,
    /// Not ended yet, whenever they came.
    pub waiting: i64,
    /// Who asked.
    pub people: i64,
    /// Seconds from the question to the first word, in the middle.
    pub first_word_p50: Option<f64>,
    /// Of twenty first words, the slowest but one took no longer.
    pub first_word_p95: Option<f64>,
    /// Seconds to the whole answer, in the middle.
    pub answer_p50: Option<f64>,
    /// Of twenty answers, the slowest but one took no longer.
    pub answer_p95: Option<f64>,
    /// Into the model.
    pub prompt_tokens: i64,
    /// Out of it.
    pub completion_tokens: i64,
    /// What that cost, in millionths of a dollar.
    pub cost_micros: i64,
    /// Thumbs up.
    pub liked: i64,
    /// Thumbs down.
    pub disliked: i64,
}

impl QuestionTotals {
    /// Questions that ended, in whatever way.
    pub fn ended(&self) -> i64 {
        self.answered + self.failed + self.refused + self.stopped
    }
}

/// A piece of the time.
#[derive(Clone, Debug, Deserialize)]
pub struct OverviewBucket {
    /// Where it begins.
    pub begins_at: DateTime<Utc>,
    /// Questions with an answer.
    pub answered: i64,
    /// Questions that were given up.
    pub failed: i64,
    /// Questions that were refused or stopped.
    pub refused: i64,
    /// Seconds to the first word, in the middle.
    pub first_word_p50: Option<f64>,
    /// Seconds to the whole answer, in the middle.
    pub answer_p50: Option<f64>,
    /// What answers cost, in millionths of a dollar.
    pub cost_micros: i64,
}

/// Why questions had no answer.
#[derive(Clone, Debug, Deserialize)]
pub struct FailureReason {
    /// How they ended.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// All that an overview tells of some time.
#[derive(Clone, Debug, Deserialize)]
pub struct UsageOverview {
    /// As [`mark`] tells it; what comes after it is news.
    #[serde(rename = "mark")]
    pub version: String,
    /// All of it in one number each.
    pub totals: QuestionTotals,
    /// The same in pieces, oldest first, those without a question too.
    pub buckets: Vec<OverviewBucket>,
    /// The most frequent reasons for which questions had no answer.
    pub reasons: Vec<FailureReason>,
}

/// A time that is looked back on.
#[derive(Clone, Copy, Debug)]
pub struct OverviewWindow {
    /// Seconds back from now.
    pub seconds: f64,
    /// How many of them make a piece.
    pub step: f64,
}

/// What it was for some of a tenant's people, each with so many reasons at most; `None` among them is the whole tenant.
pub async fn list(
    tx: &mut Tx,
    tenant_id: &TenantId,
    people: &[Option<UserId>],
    span: OverviewWindow,
    reasons: i32,
) -> Result<HashMap<Option<UserId>, UsageOverview>, DbError> {
    let names: Vec<String> =
        people.iter().map(|person| person.as_ref().map_or_else(String::new, ToString::to_string)).collect();
    let rows = sqlx::query!(
        r#"select person as "person!", overview as "overview!: Json<UsageOverview>" from overviews($1, $2, $3, $4, $5)"#,
        tenant_id.as_str(),
        &names,
        span.seconds,
        span.step,
        reasons,
    )
    .fetch_all(tx)
    .await?;
    let person = |name: String| (!name.is_empty()).then(|| UserId::from(name));
    Ok(rows.into_iter().map(|row| (person(row.person), row.overview.0)).collect())
}

/// What comes from Slack, and what is stuck.
#[derive(Clone, Debug)]
pub struct EventTraffic {
    /// When the newest event came.
    pub newest_at: Option<DateTime<Utc>>,
    /// When the event came that waits longest.
    pub oldest_waiting_at: Option<DateTime<Utc>>,
    /// Events that were given up.
    pub dead_letters: i64,
    /// Why the newest of them was.
    pub last_error: Option<String>,
    /// When somebody last opened the conversation with the bot, or its Home.
    pub opened_at: Option<DateTime<Utc>>,
}

/// Looks at a tenant's events.
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

/// What changes whenever a question of a tenant, or of one of its people, ends or comes.
pub async fn load_version(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: Option<&UserId>,
) -> Result<String, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select overview_mark($1, $2) as "mark!""#,
        tenant_id.as_str(),
        user_id.map(UserId::as_str),
    )
    .fetch_one(tx)
    .await?)
}
