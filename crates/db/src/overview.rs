//! What the dashboard's overview tells, over `usage`, `feedback` and `events`.

use chrono::{DateTime, Utc};
use models::{TenantId, UserId};

use crate::{DbError, Tx};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Whose events.
    pub tenant_id: &'a TenantId,
    /// Of one person only.
    pub user_id: Option<&'a UserId>,
    /// Seconds back from now.
    pub seconds: f64,
}

/// What became of the questions that ended in that time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
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

impl Totals {
    /// Questions that ended, in whatever way.
    pub fn asked(&self) -> i64 {
        self.answered + self.failed + self.refused + self.stopped
    }
}

/// A piece of the time.
#[derive(Clone, Debug)]
pub struct Bucket {
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

/// All of it in one number each.
pub async fn totals(tx: &mut Tx, scope: Scope<'_>) -> Result<Totals, DbError> {
    let (tenant_id, user_id) = (scope.tenant_id.as_str(), scope.user_id.map(UserId::as_str));
    Ok(sqlx::query_as!(
        Totals,
        r#"with judged as (
               select count(*) filter (where positive) as liked, count(*) filter (where not positive) as disliked
               from feedback where tenant_id = $1
               and created_at > now() - make_interval(secs => $3) and ($2::text is null or user_id = $2)
           )
           select count(*) filter (where outcome = 'answered') as "answered!",
                  count(*) filter (where outcome in ('set_aside', 'discarded')) as "failed!",
                  count(*) filter (where outcome in ('refused', 'suspended')) as "refused!",
                  count(*) filter (where outcome = 'stopped') as "stopped!",
                  (select count(*) from events where tenant_id = $1 and outcome is null and kind = 'message'
                   and ($2::text is null or user_id = $2)) as "waiting!",
                  count(distinct user_id) filter (where user_id not like 'key:%' and user_id <> 'forgotten') as "people!",
                  percentile_cont(0.5) within group (order by first_word_ms) / 1000 as first_word_p50,
                  percentile_cont(0.95) within group (order by first_word_ms) / 1000 as first_word_p95,
                  percentile_cont(0.5) within group (order by answer_ms)
                      filter (where outcome = 'answered') / 1000 as answer_p50,
                  percentile_cont(0.95) within group (order by answer_ms)
                      filter (where outcome = 'answered') / 1000 as answer_p95,
                  coalesce(sum(prompt_tokens), 0)::bigint as "prompt_tokens!",
                  coalesce(sum(completion_tokens), 0)::bigint as "completion_tokens!",
                  coalesce(sum(cost_micros), 0)::bigint as "cost_micros!",
                  (select liked from judged) as "liked!", (select disliked from judged) as "disliked!"
           from usage
           where tenant_id = $1 and created_at > now() - make_interval(secs => $3)
             and ($2::text is null or user_id = $2)"#,
        tenant_id,
        user_id,
        scope.seconds,
    )
    .fetch_one(tx)
    .await?)
}

/// The same time in pieces of so many seconds, oldest first, those without a question too.
pub async fn buckets(tx: &mut Tx, scope: Scope<'_>, step: f64) -> Result<Vec<Bucket>, DbError> {
    Ok(sqlx::query_as!(
        Bucket,
        r#"with bars as (
               select generate_series(
                   date_bin(make_interval(secs => $4), now() - make_interval(secs => $3), 'epoch')
                       + make_interval(secs => $4),
                   now(), make_interval(secs => $4)) as begins_at
           ), counted as (
               select date_bin(make_interval(secs => $4), created_at, 'epoch') as begins_at,
                      count(*) filter (where outcome = 'answered') as answered,
                      count(*) filter (where outcome in ('set_aside', 'discarded')) as failed,
                      count(*) filter (where outcome in ('refused', 'suspended', 'stopped')) as refused,
                      percentile_cont(0.5) within group (order by first_word_ms) / 1000 as first_word_p50,
                      percentile_cont(0.5) within group (order by answer_ms)
                          filter (where outcome = 'answered') / 1000 as answer_p50,
                      sum(cost_micros)::bigint as cost_micros
               from usage
               where tenant_id = $1 and created_at > now() - make_interval(secs => $3)
                 and ($2::text is null or user_id = $2)
               group by 1
           )
           select begins_at as "begins_at!", coalesce(answered, 0) as "answered!", coalesce(failed, 0) as "failed!",
                  coalesce(refused, 0) as "refused!", first_word_p50, answer_p50,
                  coalesce(cost_micros, 0) as "cost_micros!"
           from bars left join counted using (begins_at) order by begins_at"#,
        scope.tenant_id.as_str(),
        scope.user_id.map(UserId::as_str),
        scope.seconds,
        step,
    )
    .fetch_all(tx)
    .await?)
}

/// Why questions had no answer.
#[derive(Clone, Debug)]
pub struct Reason {
    /// How they ended.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: i64,
}

/// The most frequent reasons for which questions had no answer.
pub async fn list_reasons(tx: &mut Tx, scope: Scope<'_>, limit: i64) -> Result<Vec<Reason>, DbError> {
    Ok(sqlx::query_as!(
        Reason,
        r#"select outcome, coalesce(reason, '') as "reason!", count(*) as "count!" from usage
           where tenant_id = $1 and created_at > now() - make_interval(secs => $3)
             and ($2::text is null or user_id = $2) and outcome <> 'answered'
           group by 1, 2 order by 3 desc, 1, 2 limit $4"#,
        scope.tenant_id.as_str(),
        scope.user_id.map(UserId::as_str),
        scope.seconds,
        limit,
    )
    .fetch_all(tx)
    .await?)
}

/// What comes from Slack, and what is stuck.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// When the newest event came.
    pub newest_at: Option<DateTime<Utc>>,
    /// When the event came that waits longest.
    pub oldest_waiting_at: Option<DateTime<Utc>>,
    /// Events that were given up.
    pub set_aside: i64,
    /// Why the newest of them was.
    pub last_error: Option<String>,
    /// When somebody last opened the conversation with the bot, or its Home.
    pub opened_at: Option<DateTime<Utc>>,
}

/// Looks at a tenant's events.
pub async fn traffic(tx: &mut Tx, tenant_id: &TenantId) -> Result<Traffic, DbError> {
    Ok(sqlx::query_as!(
        Traffic,
        r#"select greatest(
                      (select max(finished_at) from events where tenant_id = $1 and outcome is not null),
                      (select max(received_at) from events where tenant_id = $1 and outcome is null),
                      (select max(received_at) from ignored_events where tenant_id = $1)) as newest_at,
                  (select min(received_at) from events where tenant_id = $1 and outcome is null)
                      as oldest_waiting_at,
                  (select count(*) from events where tenant_id = $1 and outcome = 'set_aside') as "set_aside!",
                  (select reason from events where tenant_id = $1 and outcome = 'set_aside'
                   order by finished_at desc limit 1) as last_error,
                  (select max(finished_at) from events where tenant_id = $1 and outcome is not null
                   and kind in ('conversation_opened', 'home_opened')) as opened_at"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}

/// What changes whenever a question ends or comes.
pub async fn mark(tx: &mut Tx, scope: Scope<'_>) -> Result<String, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select concat_ws(' ',
               (select max(created_at) from usage where tenant_id = $1 and ($2::text is null or user_id = $2)),
               (select max(created_at) from feedback where tenant_id = $1 and ($2::text is null or user_id = $2)),
               (select count(*) from events where tenant_id = $1 and outcome is null
                and ($2::text is null or user_id = $2))) as "mark!""#,
        scope.tenant_id.as_str(),
        scope.user_id.map(UserId::as_str),
    )
    .fetch_one(tx)
    .await?)
}
