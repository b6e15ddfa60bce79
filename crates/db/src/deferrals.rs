//! Events that wait: for a retry, for the rate limit, or for longer than usual.

use std::time::Duration;

use models::{MessageTs, TenantId, ThreadKey, UserId};

use crate::{DbError, Tx};

/// Delay of a retry, and the reason for it.
#[derive(Clone, Copy, Debug)]
pub struct Deferral<'a> {
    /// Time until the retry.
    pub delay: Duration,
    /// True if the failed attempt counts; false if it was only throttled.
    pub is_attempt_counted: bool,
    /// Reason.
    pub reason: &'a str,
}

/// Defers an event: it is retried after a delay.
pub async fn defer(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    deferral: Deferral<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        "update events set not_before = now() + $3::bigint * interval '1 millisecond', reason = $4,
             attempts = attempts - case when $5 then 0 else 1 end,
             throttled_since = case when $5 then throttled_since else coalesce(throttled_since, now()) end
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        i64::try_from(deferral.delay.as_millis()).unwrap_or(i64::MAX),
        deferral.reason,
        deferral.is_attempt_counted,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Defers an event until its reserved rate limit slot. The attempt does not count.
pub async fn defer_rate_limited(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    pause: Duration,
) -> Result<(), DbError> {
    sqlx::query!(
        "update events set rate_limited_until = now() + $3::bigint * interval '1 millisecond',
             not_before = now() + $3::bigint * interval '1 millisecond', reason = 'above the limit of answers',
             attempts = attempts - 1
         where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        i64::try_from(pause.as_millis()).unwrap_or(i64::MAX),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records that the author of a message is told about the delay. Returns false if they were told about one
/// within the last minute.
pub async fn mark_notified(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    seq: i64,
) -> Result<bool, DbError> {
    // Two messages of the same person may be deferred at the same time.
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))",
        tenant_id.as_str(),
        user_id.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    let noted = sqlx::query!(
        "update events set delay_notified_at = now()
         where tenant_id = $1 and seq = $2 and not exists (
             select from events
             where tenant_id = $1 and user_id = $3 and delay_notified_at > now() - interval '1 minute')",
        tenant_id.as_str(),
        seq,
        user_id.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// A message that has waited long without being started.
#[derive(Clone, Debug)]
pub struct DelayedMessage {
    /// Tenant of the message.
    pub tenant_id: TenantId,
    /// Thread of the reply.
    pub thread: ThreadKey,
    /// Timestamp of the message.
    pub message_ts: Option<MessageTs>,
    /// Author of the message.
    pub user_id: UserId,
}

/// Seconds after which a delay notice is due, and after which it is too late for one.
const DELAY_NOTICE_WINDOW_SECONDS: [f64; 2] = [10.0, 40.0];

/// Claims delay notices: returns the people whose messages have waited long and who were not told, each with
/// one message, and marks them as told. Skips messages whose thread is being worked on or is throttled by an
/// upstream.
pub async fn claim_delay_notices(tx: &mut Tx, limit: i64) -> Result<Vec<DelayedMessage>, DbError> {
    let [after, until] = DELAY_NOTICE_WINDOW_SECONDS;
    let rows = sqlx::query!(
        r#"with late as materialized (
               select e.seq, e.tenant_id, e.user_id from events e
               join threads t using (tenant_id, channel_id, thread_ts)
               where e.outcome is null and e.kind = 'message' and e.attempts = 0 and e.throttled_since is null
                 and e.delay_notified_at is null and t.state = 'ready'
                 and e.received_at between now() - make_interval(secs => $2) and now() - make_interval(secs => $1)
               order by e.received_at limit 1000
           ), people as (
               select tenant_id, user_id, min(seq) as first_seq from late
               group by tenant_id, user_id order by first_seq limit $3
           ), told as (
               update events e set delay_notified_at = now()
               from late join people using (tenant_id, user_id)
               where e.seq = late.seq and e.delay_notified_at is null
               returning e.seq, e.tenant_id, e.channel_id, e.thread_ts, e.message_ts, e.user_id
           )
           select tenant_id, channel_id, thread_ts, message_ts, user_id from told
           where seq in (select first_seq from people)"#,
        after,
        until,
        limit,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| DelayedMessage {
            tenant_id: row.tenant_id.into(),
            thread: ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() },
            message_ts: row.message_ts.map(MessageTs::from),
            user_id: row.user_id.into(),
        })
        .collect())
}
