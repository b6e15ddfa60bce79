//! The table `usage`: one row per finished question, with its outcome, duration and cost. It outlives the
//! event.

use std::time::Duration;

use models::{EventOutcome, TenantId, ThreadKey, Usage, UserId};

use crate::{DbError, Tx};

/// Outcome of a question.
#[derive(Clone, Copy, Debug)]
pub struct UsageOutcome<'a> {
    /// The outcome.
    pub outcome: EventOutcome,
    /// Reason, if it is not obvious.
    pub reason: Option<&'a str>,
    /// Time since the first token; `None` if there was none, or if it was in an earlier attempt.
    pub since_first_token: Option<Duration>,
}

/// Records the outcome of a question from Slack with the cost of all calls for it (`replies`), and releases
/// its reservation. A redriven dead letter replaces its earlier row. If the event has ended before, because its
/// author was forgotten, its own outcome stays.
pub async fn record(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    outcome: UsageOutcome<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "with released as (delete from reservations where tenant_id = $1 and seq = $2)
         insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason,
             event_id, channel_id, thread_ts, asked_at, first_token_ms, total_ms, cost_micros)
         select e.seq, e.tenant_id, user_id, coalesce(r.model, ''), coalesce(r.prompt_tokens, 0),
                coalesce(r.completion_tokens, 0), coalesce(e.outcome, $3), case when e.outcome is null then $4 else e.reason end,
                event_id, nullif(channel_id, 'forgotten'), nullif(thread_ts, 'forgotten'), received_at,
                case when $5::float8 is not null then greatest(least(took.ms - $5, 2147483647), 0) end, least(took.ms, 2147483647),
                coalesce(r.cost_micros, 0)
         from events e left join replies r on r.tenant_id = e.tenant_id and r.seq = e.seq,
              lateral (select extract(epoch from now() - received_at) * 1000 as ms) as took
         where e.tenant_id = $1 and e.seq = $2 and exists (select from tenants where tenant_id = $1)
         on conflict (seq) do update set model = excluded.model, prompt_tokens = excluded.prompt_tokens,
             completion_tokens = excluded.completion_tokens, outcome = excluded.outcome, reason = excluded.reason,
             first_token_ms = excluded.first_token_ms, total_ms = excluded.total_ms,
             cost_micros = excluded.cost_micros, created_at = now()",
        tenant_id.as_str(),
        seq,
        outcome.outcome.as_str(),
        outcome.reason,
        outcome.since_first_token.map(|ago| ago.as_millis() as f64) as Option<f64>,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records a question whose event has ended, with its outcome and the cost so far. The reservation of a call in
/// progress stays, without the person, until the call is charged.
pub(crate) async fn record_ended(tx: &mut Tx, tenant_id: &TenantId, seq: i64) -> Result<(), DbError> {
    sqlx::query!(
        "insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason,
             event_id, channel_id, thread_ts, asked_at, cost_micros)
         select e.seq, e.tenant_id, user_id, coalesce(r.model, ''), coalesce(r.prompt_tokens, 0),
                coalesce(r.completion_tokens, 0), e.outcome, e.reason, event_id, nullif(channel_id, 'forgotten'),
                nullif(thread_ts, 'forgotten'), received_at, coalesce(r.cost_micros, 0)
         from events e left join replies r on r.tenant_id = e.tenant_id and r.seq = e.seq
         where e.tenant_id = $1 and e.seq = $2 and e.outcome is not null
         on conflict (seq) do update set outcome = excluded.outcome, reason = excluded.reason",
        tenant_id.as_str(),
        seq,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update reservations set user_id = 'forgotten', expires_at = now() + interval '10 minutes'
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A question asked through the API, which has no event.
#[derive(Clone, Copy, Debug)]
pub struct NewUsage<'a> {
    /// The person who asked, or the API key.
    pub user_id: &'a UserId,
    /// The conversation.
    pub thread: &'a ThreadKey,
    /// Time since the question arrived.
    pub since_asked: Duration,
    /// Tokens as counted by the model.
    pub usage: &'a Usage,
    /// Cost of these tokens, in millionths of a dollar.
    pub cost_micros: i64,
}

/// Records the outcome of a question from the API, and releases its reservation.
pub async fn record_api(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    question: NewUsage<'_>,
    outcome: UsageOutcome<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "with released as (delete from reservations where tenant_id = $2 and seq = $1)
         insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason, source,
             channel_id, thread_ts, asked_at, first_token_ms, total_ms, cost_micros)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'api', $9, $10, now() - make_interval(secs => $11::float8 / 1000),
                 case when $12::float8 is not null then greatest($11 - $12, 0) end, $11, $13)
         on conflict (seq) do nothing",
        seq,
        tenant_id.as_str(),
        question.user_id.as_str(),
        question.usage.model,
        question.usage.prompt_tokens,
        question.usage.completion_tokens,
        outcome.outcome.as_str(),
        outcome.reason,
        question.thread.channel_id.as_str(),
        question.thread.thread_ts.as_str(),
        question.since_asked.as_millis() as f64,
        outcome.since_first_token.map(|ago| ago.as_millis() as f64) as Option<f64>,
        question.cost_micros,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the cost of a workspace's replies since the start of the month in UTC, in millionths of a dollar.
pub async fn spent_this_month(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(sum(cost_micros), 0)::bigint as "spent!" from usage
           where tenant_id = $1 and created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}
