//! The table `usage`: a row a question that ended: what came of it, how long it took and what it cost. It outlives the
//! event.

use std::time::Duration;

use models::{EventOutcome, TenantId, ThreadKey, Usage, UserId};

use crate::{DbError, Tx};

/// How a question ended.
#[derive(Clone, Copy, Debug)]
pub struct UsageOutcome<'a> {
    /// How.
    pub outcome: EventOutcome,
    /// Why, where that is not plain.
    pub reason: Option<&'a str>,
    /// How long ago the first word came; `None` where none did, or an earlier try had it.
    pub since_first_token: Option<Duration>,
}

/// Books how a question of Slack's ended, with what all calls for it have cost (`replies`), and gives back what was held for
/// it; one that was set aside and is done again is booked anew.
pub async fn record(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    end: UsageOutcome<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "with released as (delete from reservations where tenant_id = $1 and seq = $2)
         insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason,
             event_id, channel_id, thread_ts, asked_at, first_word_ms, answer_ms, cost_micros)
         select e.seq, e.tenant_id, user_id, coalesce(r.model, ''), coalesce(r.prompt_tokens, 0),
                coalesce(r.completion_tokens, 0), $3, $4, event_id, channel_id, thread_ts, received_at,
                case when $5::float8 is not null then greatest(least(took.ms - $5, 2147483647), 0) end, least(took.ms, 2147483647),
                coalesce(r.cost_micros, 0)
         from events e left join replies r on r.tenant_id = e.tenant_id and r.seq = e.seq,
              lateral (select extract(epoch from now() - received_at) * 1000 as ms) as took
         where e.tenant_id = $1 and e.seq = $2 and exists (select from tenants where tenant_id = $1)
         on conflict (seq) do update set model = excluded.model, prompt_tokens = excluded.prompt_tokens,
             completion_tokens = excluded.completion_tokens, outcome = excluded.outcome, reason = excluded.reason,
             first_word_ms = excluded.first_word_ms, answer_ms = excluded.answer_ms,
             cost_micros = excluded.cost_micros, created_at = now()",
        tenant_id.as_str(),
        seq,
        end.outcome.as_str(),
        end.reason,
        end.since_first_token.map(|ago| ago.as_millis() as f64) as Option<f64>,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A question that a program asked, without an event.
#[derive(Clone, Copy, Debug)]
pub struct NewUsage<'a> {
    /// Whose it is: a person's, or the key's.
    pub user_id: &'a UserId,
    /// The conversation.
    pub thread: &'a ThreadKey,
    /// How long ago it came.
    pub since_asked: Duration,
    /// What the model counted.
    pub usage: &'a Usage,
    /// What that cost, in millionths of a dollar.
    pub cost_micros: i64,
}

/// Books how a question of a program's ended, and gives back what was held for it.
pub async fn record_api(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    asked: NewUsage<'_>,
    end: UsageOutcome<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "with released as (delete from reservations where tenant_id = $2 and seq = $1)
         insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason, source,
             channel_id, thread_ts, asked_at, first_word_ms, answer_ms, cost_micros)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'api', $9, $10, now() - make_interval(secs => $11::float8 / 1000),
                 case when $12::float8 is not null then greatest($11 - $12, 0) end, $11, $13)
         on conflict (seq) do nothing",
        seq,
        tenant_id.as_str(),
        asked.user_id.as_str(),
        asked.usage.model,
        asked.usage.prompt_tokens,
        asked.usage.completion_tokens,
        end.outcome.as_str(),
        end.reason,
        asked.thread.channel_id.as_str(),
        asked.thread.thread_ts.as_str(),
        asked.since_asked.as_millis() as f64,
        end.since_first_token.map(|ago| ago.as_millis() as f64) as Option<f64>,
        asked.cost_micros,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a workspace's answers have cost since the month began in UTC, in millionths of a dollar.
pub async fn spent_this_month(tx: &mut Tx, tenant_id: &TenantId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(sum(cost_micros), 0)::bigint as "spent!" from usage
           where tenant_id = $1 and created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'"#,
        tenant_id.as_str(),
    )
    .fetch_one(tx)
    .await?)
}
