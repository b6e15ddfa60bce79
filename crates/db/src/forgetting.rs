//! Forgetting a person: everything that `personal_data.csv` says is deleted or replaced. What has to stay, such
//! as a cost, stays without them.

mod roles;

use chrono::{DateTime, Utc};
use models::{EventOutcome, TenantId, UserId};
use serde::Serialize;

use crate::{Db, DbError, Tx, tombstones, usage};

/// Takes the place of ids.
const NOBODY: &str = "forgotten";

/// The reason of events that end because their author is forgotten.
pub const FORGOTTEN_REASON: &str = "its author's data was deleted";

/// The prefix of Slack's direct conversations. The bot's has one other person, so its id is personal.
const DM_PATTERN: &str = "D%";

/// What was deleted of a person.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Forgotten {
    /// Their messages and the replies to them.
    pub messages: u64,
    /// Their sessions.
    pub sessions: u64,
    /// Events that had not ended.
    pub events: u64,
    /// The tombstone: a keyed digest.
    pub tombstone: String,
}

/// A person who is being forgotten.
struct Leaving<'a> {
    tenant: &'a str,
    user: &'a str,
    /// Only older data is deleted; `None`: all.
    before: Option<DateTime<Utc>>,
    /// Their direct conversations with the bot, and their id, which names the thread of their other events.
    dms: Vec<String>,
}

/// Moves accepted events into `events`, so that those of a person are found there. The services do the same
/// all the time.
pub async fn settle_inbox(db: &Db) -> Result<(), DbError> {
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let moved = sqlx::query_scalar!("select event_count from inbox_drain(16)").fetch_one(&mut tx).await?;
        tx.commit().await?;
        if moved.is_none() {
            return Ok(());
        }
    }
}

/// Deletes a person's data, ends their sessions and their events, and leaves a tombstone. Call
/// [`settle_inbox`] first. `before` is for a replay: newer data stays then.
///
/// A worker that is busy with one of their events holds its thread's row while it writes, and so does this: what
/// the worker wrote before is deleted, and afterwards the event has ended and the worker writes nothing.
pub async fn forget(
    tx: &mut Tx,
    tenant_id: &TenantId,
    user_id: &UserId,
    before: Option<DateTime<Utc>>,
) -> Result<Forgotten, DbError> {
    tx.disable_statement_timeout().await?;
    let (tenant, user) = (tenant_id.as_str(), user_id.as_str());
    tombstones::lock_person(tx, tenant_id, user_id, true).await?;
    let mut dms = list_dms(tx, tenant, user).await?;
    dms.push(user.to_owned());
    sqlx::query!(
        "select true as locked from threads t where tenant_id = $1 and exists (
             select from events e where e.tenant_id = $1 and e.channel_id = t.channel_id
                 and e.thread_ts = t.thread_ts and (e.user_id = $2 or e.channel_id = any($3)) and e.outcome is null)
         order by channel_id, thread_ts for update",
        tenant,
        user,
        &dms,
    )
    .fetch_all(&mut *tx)
    .await?;
    let leaving = Leaving { tenant, user, before, dms };
    let ended = end_events(tx, tenant_id, &leaving).await?;
    let messages = delete_conversations(tx, &leaving).await?;
    replace_ids(tx, &leaving).await?;
    roles::replace_roles(tx, tenant_id, &leaving).await?;
    let sessions = delete_profile(tx, &leaving).await?;
    let tombstone = match before {
        // The tombstone that is replayed stays.
        Some(_) => String::new(),
        None => tombstones::insert_person(tx, tenant_id, user_id).await?,
    };
    Ok(Forgotten { messages, sessions, events: ended, tombstone })
}

/// Ends the event with which a person asked to be forgotten as done.
pub async fn set_own_outcome(
    tx: &mut Tx,
    tenant_id: &TenantId,
    seq: i64,
    outcome: EventOutcome,
) -> Result<(), DbError> {
    sqlx::query!(
        "update events set outcome = $3, reason = null, stop_requested_at = null where tenant_id = $1 and seq = $2",
        tenant_id.as_str(),
        seq,
        outcome.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn list_dms(tx: &mut Tx, tenant: &str, user: &str) -> Result<Vec<String>, DbError> {
    let dms = sqlx::query_scalar!(
        r#"select channel_id as "channel_id!" from usage
               where tenant_id = $1 and user_id = $2 and channel_id like $3
           union select channel_id from chat_memory
               where tenant_id = $1 and user_id = $2 and channel_id like $3
           union select channel_id from events
               where tenant_id = $1 and user_id = $2 and channel_id like $3 and (outcome is null or outcome is not null)
           union select channel_id from event_history
               where tenant_id = $1 and user_id = $2 and channel_id like $3
           union select channel_id from ignored_events
               where tenant_id = $1 and user_id = $2 and channel_id like $3"#,
        tenant,
        user,
        DM_PATTERN,
    )
    .fetch_all(tx)
    .await?;
    Ok(dms)
}

/// Ends their events and deletes the text of the replies. An event in work is stopped: its worker ends the
/// message in Slack and then finds the event ended.
async fn end_events(tx: &mut Tx, tenant_id: &TenantId, leaving: &Leaving<'_>) -> Result<u64, DbError> {
    let Leaving { tenant, user, before, dms } = leaving;
    sqlx::query!(
        "update replies set text = null, partial_text = null where tenant_id = $1 and seq in (
             select seq from events where tenant_id = $1 and (user_id = $2 or channel_id = any($4))
                 and received_at < coalesce($3, 'infinity'::timestamptz) and (outcome is null or outcome is not null))",
        tenant,
        user,
        *before,
        dms,
    )
    .execute(&mut *tx)
    .await?;
    let open = sqlx::query!(
        "select seq, kind from events where tenant_id = $1 and (user_id = $2 or channel_id = any($4))
             and outcome is null and received_at < coalesce($3, 'infinity'::timestamptz) order by seq for update",
        tenant,
        user,
        *before,
        dms,
    )
    .fetch_all(&mut *tx)
    .await?;
    // A dead letter without its text cannot be retried.
    sqlx::query!(
        "update events set user_id = $4, body = null, attempts_log = '[]', not_before = null,
             reason = case when outcome is null then $5 else reason end,
             outcome = case when outcome is null then $6 when outcome = 'set_aside' then $7 else outcome end,
             finished_at = coalesce(finished_at, now()),
             stop_requested_at = case when outcome is null then now() else stop_requested_at end,
             message_ts = case when channel_id = any($8) then null else message_ts end,
             thread_ts = case when channel_id = any($8) then $4 else thread_ts end,
             channel_id = case when channel_id = any($8) then $4 else channel_id end
         where tenant_id = $1 and (user_id = $2 or channel_id = any($8))
           and received_at < coalesce($3, 'infinity'::timestamptz) and (outcome is null or outcome is not null)",
        tenant,
        user,
        *before,
        NOBODY,
        FORGOTTEN_REASON,
        EventOutcome::Stopped.as_str(),
        EventOutcome::Discarded.as_str(),
        dms,
    )
    .execute(&mut *tx)
    .await?;
    for event in &open {
        if event.kind == "message" {
            usage::record_ended(tx, tenant_id, event.seq).await?;
        }
        sqlx::query!("select pg_notify('enablebot_stops', $1)", event.seq.to_string())
            .execute(&mut *tx)
            .await?;
    }
    Ok(open.len() as u64)
}

/// Deletes their messages, the replies to them, and their direct conversations. Returns the number of messages.
async fn delete_conversations(tx: &mut Tx, leaving: &Leaving<'_>) -> Result<u64, DbError> {
    let Leaving { tenant, user, before, dms } = leaving;
    // The answer in progress loses its lease, and is not remembered.
    sqlx::query!(
        "delete from chat_leases where tenant_id = $1 and conversation_id in (
             select thread_ts from chat_memory where tenant_id = $1 and channel_id = 'api' and user_id = $2)",
        tenant,
        user,
    )
    .execute(&mut *tx)
    .await?;
    let messages = sqlx::query!(
        "delete from chat_memory where tenant_id = $1 and (user_id = $2 or channel_id = any($4))
             and created_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        dms,
    )
    .execute(&mut *tx)
    .await?;
    // A thread in work is released first, and then purged with the idle ones within a minute.
    sqlx::query!(
        "with busy as (
             update threads set used_at = '-infinity', refused_at = null
             where tenant_id = $1 and channel_id = any($3) and state = 'leased'
               and created_at < coalesce($2, 'infinity'::timestamptz))
         delete from threads where tenant_id = $1 and channel_id = any($3) and state <> 'leased'
             and used_at < coalesce($2, 'infinity'::timestamptz)",
        tenant,
        *before,
        dms,
    )
    .execute(tx)
    .await?;
    Ok(messages.rows_affected())
}

/// Replaces their id, and the ids of their direct conversations, where a cost or an outcome stays.
async fn replace_ids(tx: &mut Tx, leaving: &Leaving<'_>) -> Result<(), DbError> {
    let Leaving { tenant, user, before, dms } = leaving;
    sqlx::query!(
        "update usage set user_id = $4,
             outcome = case when outcome = 'set_aside' then 'discarded' else outcome end,
             thread_ts = case when channel_id = any($5) or channel_id = 'api' then null else thread_ts end,
             channel_id = case when channel_id = any($5) then null else channel_id end
         where tenant_id = $1 and (user_id = $2 or channel_id = any($5))
           and created_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        NOBODY,
        dms,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update reservations set user_id = $3 where tenant_id = $1 and user_id = $2",
        tenant,
        user,
        NOBODY,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update event_history set user_id = $4, attempts_log = '[]',
             message_ts = case when channel_id = any($5) then null else message_ts end,
             reply_ts = case when channel_id = any($5) then null else reply_ts end,
             thread_ts = case when channel_id = any($5) then $4 else thread_ts end,
             channel_id = case when channel_id = any($5) then $4 else channel_id end
         where tenant_id = $1 and (user_id = $2 or channel_id = any($5))
           and received_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        NOBODY,
        dms,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update ignored_events set user_id = $4,
             message_ts = case when channel_id = any($5) then null else message_ts end,
             channel_id = case when channel_id = any($5) then null else channel_id end
         where tenant_id = $1 and (user_id = $2 or channel_id = any($5))
           and received_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
        NOBODY,
        dms,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes what Slack says about them, their ratings and their sessions. Returns the number of sessions.
async fn delete_profile(tx: &mut Tx, leaving: &Leaving<'_>) -> Result<u64, DbError> {
    let Leaving { tenant, user, before, .. } = leaving;
    sqlx::query!(
        "delete from feedback
         where tenant_id = $1 and user_id = $2 and created_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from people where tenant_id = $1 and user_id = $2
             and coalesce(checked_at, onboarded_at, '-infinity') < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
    )
    .execute(&mut *tx)
    .await?;
    let ended = sqlx::query!(
        "delete from sessions
         where tenant_id = $1 and user_id = $2 and created_at < coalesce($3, 'infinity'::timestamptz)",
        tenant,
        user,
        *before,
    )
    .execute(tx)
    .await?;
    Ok(ended.rows_affected())
}
