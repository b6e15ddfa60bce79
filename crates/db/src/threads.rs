//! The table `threads`: who answers in which thread, and whose turn is next.

use std::time::{Duration, Instant};

use models::{EventId, MessageTs, TenantId, ThreadKey, UserId};
use uuid::Uuid;

use crate::{DbError, Tx};

/// How long a lease holds without being renewed, in seconds. A worker renews every third of it, so that a dead one
/// is found out within this time and a slow one is not.
pub const THREAD_LEASE_SECONDS: i32 = 6;

/// A thread in this worker's hands until the lease ends. Every write names the token, so that a worker that lost it
/// can finish nothing.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Whose thread it is.
    pub tenant_id: TenantId,
    /// The thread.
    pub thread: ThreadKey,
    /// Names this holder, and this time of holding.
    pub token: Uuid,
}

/// An event in work.
#[derive(Clone, Debug)]
pub struct Job {
    /// The event's number in the queue.
    pub seq: i64,
    /// Whose event it is.
    pub tenant_id: TenantId,
    /// Slack's id of it.
    pub event_id: EventId,
    /// Where the answer goes.
    pub thread: ThreadKey,
    /// The message's own `ts`.
    pub message_ts: Option<MessageTs>,
    /// Who wrote it.
    pub user_id: UserId,
    /// When Slack delivered it, by this process's clock.
    pub received: Instant,
    /// What is to be done, sealed; [`crate::events::open_payload`] opens it.
    pub sealed_payload: Vec<u8>,
    /// Which try this is, from 1.
    pub attempt: i32,
    /// How long ago an upstream first held it back.
    pub throttled_for: Duration,
    /// It was tried before: no limit holds it up again.
    pub is_started: bool,
    /// Its turn within its tenant's limit was kept for it.
    pub has_rate_limit_slot: bool,
    /// Somebody pressed "Stop".
    pub is_stop_requested: bool,
}

/// Ready threads among which other tenants' are looked for, where some tenants are passed over.
const CLAIM_LOOKAHEAD: i64 = 512;

/// Leases up to `limit` ready threads, those with the smallest virtual start first, and moves the clock to them. Tenants
/// in `full` are passed over; the first thread of any other stands near the front, so no more than that is looked at.
pub async fn claim(tx: &mut Tx, limit: i64, excluded: &[TenantId]) -> Result<Vec<Lease>, DbError> {
    let full: Vec<String> = excluded.iter().map(ToString::to_string).collect();
    let window = (!full.is_empty()).then_some(limit + CLAIM_LOOKAHEAD);
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
        &full,
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

/// Renews many leases at once and tells which of them still hold.
pub async fn renew(tx: &mut Tx, tokens: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    let held = sqlx::query_scalar!(
        r#"update threads set wake_at = now() + make_interval(secs => $2)
           where lease_token = any($1) returning lease_token as "token!""#,
        tokens,
        f64::from(THREAD_LEASE_SECONDS),
    )
    .fetch_all(tx)
    .await?;
    Ok(held)
}

/// Makes ready what slept long enough: threads whose lease ran out, and those whose next try is due. The number of
/// threads that are ready now because of it.
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

/// Locks the thread for this transaction and checks that the lease still holds.
///
/// # Errors
/// [`DbError::LeaseLost`], if another worker may have the thread by now.
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

/// The thread's next event, counted as tried; `None` when the thread was let go, because nothing waits or its next
/// event is not due. The thread's row is locked while this looks, so nothing that comes in between is stranded.
pub async fn next_event(tx: &mut Tx, lease: &Lease) -> Result<Option<Job>, DbError> {
    assert_lease(tx, lease).await?;
    let row = sqlx::query!(
        r#"select seq, event_id, message_ts, user_id, body as "body!", attempts,
                  coalesce(not_before > now() and stop_requested_at is null, false) as "sleeping!",
                  stop_requested_at is not null as "stop_requested!",
                  (attempts > 0 or throttled_since is not null) as "is_begun!", turn_at is not null as "has_turn!",
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
        has_rate_limit_slot: row.has_turn,
        is_stop_requested: row.stop_requested,
    }))
}

/// So many seconds ago.
fn instant_ago(seconds: f64) -> Instant {
    let (now, ago) = (Instant::now(), Duration::try_from_secs_f64(seconds).unwrap_or_default());
    now.checked_sub(ago).unwrap_or(now)
}

/// Lets a thread go: asleep until its next try, ready for any worker, or idle when nothing waits.
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

/// Makes an idle thread ready, behind its tenant's others.
pub async fn make_ready(tx: &mut Tx, tenant_id: &TenantId, thread: &ThreadKey) -> Result<(), DbError> {
    sqlx::query!(
        "insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start)
         select $1, $2, $3, 'ready', place_distance($1) + greatest(
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

/// Notes that an external person was told that this thread is closed to them; false if that was done before.
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

/// Notes that somebody was told in this thread that the workspace is suspended; false if that was done since it is.
pub async fn mark_suspension_notified(tx: &mut Tx, lease: &Lease) -> Result<bool, DbError> {
    let noted = sqlx::query!(
        "update threads set suspension_told_at = now() from tenants
         where threads.tenant_id = $1 and channel_id = $2 and thread_ts = $3
           and tenants.tenant_id = threads.tenant_id
           and (suspension_told_at is null or suspension_told_at < suspended_at)",
        lease.tenant_id.as_str(),
        lease.thread.channel_id.as_str(),
        lease.thread.thread_ts.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}
