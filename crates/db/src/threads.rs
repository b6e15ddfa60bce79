//! The table `threads`: which worker holds each thread, and which thread is next.

use std::time::{Duration, Instant};

use models::{EventId, MessageTs, TenantId, ThreadKey, UserId};
use uuid::Uuid;

use crate::{DbError, Tx};

/// Seconds for which a lease is valid without renewal. A worker renews every third of it, so a dead worker is
/// detected within this time and a slow one keeps its lease.
pub const THREAD_LEASE_SECONDS: i32 = 6;

/// A worker's lease on a thread. Every write names the token, so that a worker that lost the lease cannot
/// finish anything.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Tenant of the thread.
    pub tenant_id: TenantId,
    /// The thread.
    pub thread: ThreadKey,
    /// Unique token of this lease.
    pub token: Uuid,
}

/// An event that a worker handles.
#[derive(Clone, Debug)]
pub struct Job {
    /// Number of the event in the queue.
    pub seq: i64,
    /// Tenant of the event.
    pub tenant_id: TenantId,
    /// Slack's event id.
    pub event_id: EventId,
    /// Thread of the reply.
    pub thread: ThreadKey,
    /// Timestamp of the message.
    pub message_ts: Option<MessageTs>,
    /// Author of the message.
    pub user_id: UserId,
    /// Time at which Slack delivered it, by this process's clock.
    pub received: Instant,
    /// Encrypted payload; [`crate::events::open_payload`] decrypts it.
    pub sealed_payload: Vec<u8>,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// Time since an upstream first throttled it.
    pub throttled_for: Duration,
    /// True if it was attempted before, so that no limit delays it again.
    pub is_started: bool,
    /// True if a slot of its tenant's rate limit is reserved for it.
    pub has_rate_limit_slot: bool,
    /// True if "Stop" was pressed.
    pub is_stop_requested: bool,
}

/// Ready threads that are searched for other tenants when some tenants are excluded.
const CLAIM_LOOKAHEAD: i64 = 512;

/// Leases up to `limit` ready threads, smallest virtual start first, and advances the virtual clock to them.
/// Skips the tenants in `excluded`. The first thread of any other tenant is near the front, so only the front
/// of the queue is read.
pub async fn claim(tx: &mut Tx, limit: i64, excluded: &[TenantId]) -> Result<Vec<Lease>, DbError> {
    let excluded: Vec<String> = excluded.iter().map(ToString::to_string).collect();
    let window = (!excluded.is_empty()).then_some(limit + CLAIM_LOOKAHEAD);
    tx.disable_prepared();
    let rows = sqlx::query!(
        r#"with picked as (
               -- A lateral one, and so never by reading the whole table: the queue may be long.
               select t.tenant_id, t.channel_id, t.thread_ts, front.virtual_start
               from (select tenant_id, channel_id, thread_ts, virtual_start from threads
                     where state = 'ready' order by virtual_start limit $3) as front
               cross join lateral (
                   select r.tenant_id, r.channel_id, r.thread_ts from threads r
                   where r.tenant_id = front.tenant_id and r.channel_id = front.channel_id
                     and r.thread_ts = front.thread_ts and r.state = 'ready' and r.tenant_id <> all ($4)
                   for update skip locked) as t
               order by front.virtual_start limit $1
           ), leased as (
               update threads t
               set state = 'leased', lease_token = gen_random_uuid(), wake_at = now() + make_interval(secs => $2)
               from picked p
               where (t.tenant_id, t.channel_id, t.thread_ts) = (p.tenant_id, p.channel_id, p.thread_ts)
               returning t.tenant_id, t.channel_id, t.thread_ts, t.lease_token, p.virtual_start
           ), clock as (
               select setval('virtual_clock', greatest(last_value, (select max(virtual_start) from leased)))
               from virtual_clock where exists (select from leased)
           )
           select tenant_id, channel_id, thread_ts, lease_token as "token!", (select count(*) from clock) as clock
           from leased order by virtual_start"#,
        limit,
        f64::from(THREAD_LEASE_SECONDS),
        window,
        &excluded,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Lease {
            tenant_id: row.tenant_id.into(),
            thread: ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() },
            token: row.token,
        })
        .collect())
}

/// Renews leases and returns the tokens of those that are still valid.
pub async fn renew(tx: &mut Tx, tokens: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    let renewed = sqlx::query_scalar!(
        r#"update threads set wake_at = now() + make_interval(secs => $2)
           where lease_token = any($1) returning lease_token as "token!""#,
        tokens,
        f64::from(THREAD_LEASE_SECONDS),
    )
    .fetch_all(tx)
    .await?;
    Ok(renewed)
}

/// Makes threads ready whose lease expired or whose retry is due. Returns the number of those threads.
pub async fn wake_due(tx: &mut Tx) -> Result<u64, DbError> {
    tx.disable_prepared();
    let woken = sqlx::query!(
        "update threads t set state = 'ready', lease_token = null, wake_at = null
         from (select tenant_id, channel_id, thread_ts from threads
               where state in ('leased', 'backoff') and wake_at <= now()
               limit 1000 for update skip locked) as due
         where (t.tenant_id, t.channel_id, t.thread_ts) = (due.tenant_id, due.channel_id, due.thread_ts)",
    )
    .execute(tx)
    .await?;
    Ok(woken.rows_affected())
}

/// Locks the thread for this transaction and checks that the lease is still valid.
///
/// # Errors
/// [`DbError::LeaseLost`], if another worker may hold the thread by now.
pub async fn assert_lease(tx: &mut Tx, lease: &Lease) -> Result<(), DbError> {
    let held = sqlx::query_scalar!(
        r#"select true as "held!" from threads
           where tenant_id = $1 and channel_id = $2 and thread_ts = $3 and lease_token = $4 for update"#,
        lease.tenant_id.as_str(),
        lease.thread.channel_id.as_str(),
        lease.thread.thread_ts.as_str(),
        lease.token,
    )
    .fetch_optional(tx)
    .await?;
    held.map(|_| ()).ok_or(DbError::LeaseLost)
}

/// Returns the thread's next event and counts an attempt; `None` if the thread was released because it has no
/// event or its next event is not due. The thread's row is locked meanwhile, so an event that arrives now is
/// not left behind.
pub async fn next_event(tx: &mut Tx, lease: &Lease) -> Result<Option<Job>, DbError> {
    assert_lease(tx, lease).await?;
    let row = sqlx::query!(
        r#"select seq, event_id, message_ts, user_id, body as "body!", attempts,
                  coalesce(not_before > now() and stop_requested_at is null, false) as "sleeping!",
                  stop_requested_at is not null as "stop_requested!",
                  (attempts > 0 or throttled_since is not null) as "is_begun!", rate_limited_until is not null as "has_rate_limit_slot!",
                  coalesce(extract(epoch from now() - throttled_since), 0)::float8 as "throttled_seconds!",
                  extract(epoch from now() - received_at)::float8 as "received_seconds!"
           from events
           where tenant_id = $1 and channel_id = $2 and thread_ts = $3 and outcome is null
           order by message_ts, seq limit 1"#,
        lease.tenant_id.as_str(),
        lease.thread.channel_id.as_str(),
        lease.thread.thread_ts.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row.filter(|row| !row.sleeping) else {
        release(tx, lease).await?;
        return Ok(None);
    };
    sqlx::query!(
        "update events set attempts = attempts + 1 where tenant_id = $1 and seq = $2",
        lease.tenant_id.as_str(),
        row.seq
    )
    .execute(&mut *tx)
    .await?;
    Ok(Some(Job {
        seq: row.seq,
        tenant_id: lease.tenant_id.clone(),
        event_id: row.event_id.into(),
        thread: lease.thread.clone(),
        message_ts: row.message_ts.map(MessageTs::from),
        user_id: row.user_id.into(),
        received: instant_ago(row.received_seconds),
        sealed_payload: row.body,
        attempt: row.attempts + 1,
        throttled_for: Duration::try_from_secs_f64(row.throttled_seconds).unwrap_or_default(),
        is_started: row.is_begun,
        has_rate_limit_slot: row.has_rate_limit_slot,
        is_stop_requested: row.stop_requested,
    }))
}

/// Returns the instant this many seconds ago.
fn instant_ago(seconds: f64) -> Instant {
    let (now, ago) = (Instant::now(), Duration::try_from_secs_f64(seconds).unwrap_or_default());
    now.checked_sub(ago).unwrap_or(now)
}

/// Releases a thread: in backoff until its retry, ready for any worker, or idle if it has no event.
pub async fn release(tx: &mut Tx, lease: &Lease) -> Result<(), DbError> {
    sqlx::query!(
        "update threads t set lease_token = null,
             state = case when next.waiting is null then 'idle' when next.not_before > now() then 'backoff'
                          else 'ready' end,
             wake_at = case when next.not_before > now() then next.not_before end
         from (select 1) as one
         left join (select true as waiting, not_before from events
                    where tenant_id = $1 and channel_id = $2 and thread_ts = $3 and outcome is null
                    order by message_ts, seq limit 1) as next on true
         where t.lease_token = $4",
        lease.tenant_id.as_str(),
        lease.thread.channel_id.as_str(),
        lease.thread.thread_ts.as_str(),
        lease.token,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes an idle thread ready, after its tenant's other threads.
pub async fn make_ready(tx: &mut Tx, tenant_id: &TenantId, thread: &ThreadKey) -> Result<(), DbError> {
    sqlx::query!(
        "insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start)
         select $1, $2, $3, 'ready', fair_queue_stride($1) + greatest(
             (select last_value from virtual_clock),
             (select max(virtual_start) from threads where tenant_id = $1 and state = 'ready'))
         on conflict (tenant_id, channel_id, thread_ts) do update set
             state = 'ready', virtual_start = excluded.virtual_start, used_at = excluded.used_at
         where threads.state = 'idle'",
        tenant_id.as_str(),
        thread.channel_id.as_str(),
        thread.thread_ts.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("select pg_notify('enablebot_events', '')").execute(tx).await?;
    Ok(())
}

/// Records that an external person was told that this thread is closed to them. Returns false if it was
/// recorded already.
pub async fn set_refused(tx: &mut Tx, lease: &Lease) -> Result<bool, DbError> {
    let noted = sqlx::query!(
        "update threads set refused_at = now()
         where tenant_id = $1 and channel_id = $2 and thread_ts = $3 and refused_at is null",
        lease.tenant_id.as_str(),
        lease.thread.channel_id.as_str(),
        lease.thread.thread_ts.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Records that someone in this thread was told about the suspension. Returns false if it was recorded
/// already for this suspension.
pub async fn mark_suspension_notified(tx: &mut Tx, lease: &Lease) -> Result<bool, DbError> {
    let noted = sqlx::query!(
        "update threads set suspension_notified_at = now() from tenants
         where threads.tenant_id = $1 and channel_id = $2 and thread_ts = $3
           and tenants.tenant_id = threads.tenant_id
           and (suspension_notified_at is null or suspension_notified_at < suspended_at)",
        lease.tenant_id.as_str(),
        lease.thread.channel_id.as_str(),
        lease.thread.thread_ts.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}
