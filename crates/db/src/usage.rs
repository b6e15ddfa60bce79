//! The table `usage`: a row a question that ended: what came of it, how long it took and what it cost. It outlives the
//! event.

use std::time::Duration;

use models::{Outcome, TenantId, ThreadKey, Usage, UserId};

use crate::{DbError, Tx};

/// How a question ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// How.
    pub outcome: Outcome,
    /// Why, where that is not plain.
    pub reason: Option<&'a str>,
    /// What the model counted; nothing where it was not asked.
    pub usage: &'a Usage,
    /// What that cost, in millionths of a dollar.
    pub cost_micros: i64,
    /// How long ago the first word came; `None` where none did, or an earlier try had it.
    pub since_first_word: Option<Duration>,
}

/// Books how a question of Slack's ended; one that was set aside and is done again is booked anew.
pub async fn note_end(tx: &mut Tx, tenant_id: &TenantId, seq: i64, end: End<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason,
             event_id, channel_id, thread_ts, asked_at, first_word_ms, answer_ms, cost_micros)
         select seq, tenant_id, user_id, $3, $4, $5, $6, $7, event_id, channel_id, thread_ts, received_at,
                case when $8::float8 is not null then greatest(least(took.ms - $8, 2147483647), 0) end, least(took.ms, 2147483647), $9
         from events, lateral (select extract(epoch from now() - received_at) * 1000 as ms) as took
         where tenant_id = $1 and seq = $2 and exists (select from tenants where tenant_id = $1)
         on conflict (seq) do update set model = excluded.model, prompt_tokens = excluded.prompt_tokens,
             completion_tokens = excluded.completion_tokens, outcome = excluded.outcome, reason = excluded.reason,
             first_word_ms = excluded.first_word_ms, answer_ms = excluded.answer_ms,
             cost_micros = excluded.cost_micros, created_at = now()",
        tenant_id.as_str(),
        seq,
        end.usage.model,
        end.usage.prompt_tokens,
        end.usage.completion_tokens,
        end.outcome.as_str(),
        end.reason,
        end.since_first_word.map(|ago| ago.as_millis() as f64) as Option<f64>,
        end.cost_micros,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A question that a program asked, without an event.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whose it is: a person's, or the key's.
    pub user_id: &'a UserId,
    /// The conversation.
    pub thread: &'a ThreadKey,
    /// How long ago it came.
    pub since_asked: Duration,
}

/// Books how a question of a program's ended.
pub async fn insert(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    asked: Asked<'_>,
    end: End<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into usage (seq, tenant_id, user_id, model, prompt_tokens, completion_tokens, outcome, reason, source,
             channel_id, thread_ts, asked_at, first_word_ms, answer_ms, cost_micros)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'api', $9, $10, now() - make_interval(secs => $11::float8 / 1000),
                 case when $12::float8 is not null then greatest($11 - $12, 0) end, $11, $13)
         on conflict (seq) do nothing",
        seq,
        tenant_id.as_str(),
        asked.user_id.as_str(),
        end.usage.model,
        end.usage.prompt_tokens,
        end.usage.completion_tokens,
        end.outcome.as_str(),
        end.reason,
        asked.thread.channel_id.as_str(),
        asked.thread.thread_ts.as_str(),
        asked.since_asked.as_millis() as f64,
        end.since_first_word.map(|ago| ago.as_millis() as f64) as Option<f64>,
        end.cost_micros,
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
