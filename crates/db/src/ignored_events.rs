//! The table `ignored_events`, and the lookup "why no reply?" over it, `events` and `event_history`.

use chrono::{DateTime, Utc};
use models::{IgnoredEvent, TenantId};

use crate::{DbError, Tx};

/// Days for which ignored events are kept.
const IGNORED_EVENT_RETENTION_DAYS: i32 = 7;

/// Records ignored events, except those of tenants without an installation. Locks the installation: an
/// uninstall deletes the events recorded before it, and none are recorded after it.
pub async fn insert(tx: &mut Tx, events: &[IgnoredEvent]) -> Result<(), DbError> {
    let column = |of: fn(&IgnoredEvent) -> Option<&str>| -> Vec<Option<String>> {
        events.iter().map(|event| of(event).map(str::to_owned)).collect()
    };
    sqlx::query!(
        "insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason)
         select i.* from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
             as i (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason)
         join installations using (tenant_id) for key share of installations",
        &column(|event| Some(event.tenant_id.as_str())) as &[Option<String>],
        &column(|event| Some(event.event_id.as_str())) as &[Option<String>],
        &column(|event| event.channel_id.as_ref().map(|id| id.as_str())) as &[Option<String>],
        &column(|event| event.message_ts.as_ref().map(|ts| ts.as_str())) as &[Option<String>],
        &column(|event| event.user_id.as_ref().map(|id| id.as_str())) as &[Option<String>],
        &column(|event| Some(event.outcome.as_str())) as &[Option<String>],
        &column(|event| Some(&event.reason)) as &[Option<String>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes a batch of events older than a week and returns their number.
pub async fn purge(tx: &mut Tx) -> Result<u64, DbError> {
    let purged = sqlx::query!(
        "delete from ignored_events where ctid in (
             select ctid from ignored_events where received_at < now() - make_interval(days => $1) limit 10000)",
        IGNORED_EVENT_RETENTION_DAYS,
    )
    .execute(tx)
    .await?;
    Ok(purged.rows_affected())
}

/// Filter of events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this event.
    pub event_id: Option<String>,
    /// Only events with this outcome.
    pub outcome: Option<String>,
    /// Only events of this channel.
    pub channel_id: Option<String>,
    /// Only events of this user.
    pub user_id: Option<String>,
    /// Only events received within this many seconds.
    pub last_seconds: Option<f64>,
}

/// An event and its outcome.
#[derive(Clone, Debug)]
pub struct EventSummary {
    /// Time of arrival.
    pub received_at: DateTime<Utc>,
    /// Slack's event id.
    pub event_id: String,
    /// Channel of the event.
    pub channel_id: Option<String>,
    /// User who caused it.
    pub user_id: Option<String>,
    /// Outcome; `None` while it is unfinished.
    pub outcome: Option<String>,
    /// Reason of the outcome.
    pub reason: Option<String>,
}

/// Lists a tenant's newest events that match the filter, whether answered or not; finished events are ordered
/// by the time at which they finished. Each source is read through its own index; dead letters are only in
/// `events`.
pub async fn list_outcomes(
    tx: &mut Tx,
    tenant_id: &TenantId,
    filter: &EventFilter,
    limit: i64,
) -> Result<Vec<EventSummary>, DbError> {
    Ok(sqlx::query_as!(
        EventSummary,
        r#"with wanted as (
               (select received_at, event_id, channel_id, user_id, null as outcome, reason from events
                where tenant_id = $1 and outcome is null and $5::text is null
                  and ($2::text is null or event_id = $2) and ($3::text is null or channel_id = $3)
                  and ($4::float8 is null or received_at > now() - make_interval(secs => $4))
                  and ($6::text is null or user_id = $6)
                order by received_at desc limit $7)
               union all
               (select received_at, event_id, channel_id, user_id, outcome, reason from events
                where tenant_id = $1 and outcome is not null and ($5::text is null or outcome = $5)
                  and ($2::text is null or event_id = $2) and ($3::text is null or channel_id = $3)
                  and ($4::float8 is null or received_at > now() - make_interval(secs => $4))
                  and ($6::text is null or user_id = $6)
                order by finished_at desc limit $7)
               union all
               (select received_at, event_id, channel_id, user_id, outcome, reason from event_history
                where tenant_id = $1 and ($5::text is null or outcome = $5) and $5 is distinct from 'set_aside'
                  and ($2::text is null or event_id = $2) and ($3::text is null or channel_id = $3)
                  and ($4::float8 is null or received_at > now() - make_interval(secs => $4))
                  and ($6::text is null or user_id = $6)
                order by received_at desc limit $7)
               union all
               (select received_at, event_id, channel_id, user_id, outcome, reason from ignored_events
                where tenant_id = $1 and ($5::text is null or outcome = $5) and $5 is distinct from 'set_aside'
                  and ($2::text is null or event_id = $2) and ($3::text is null or channel_id = $3)
                  and ($4::float8 is null or received_at > now() - make_interval(secs => $4))
                  and ($6::text is null or user_id = $6)
                order by received_at desc limit $7)
           )
           select received_at as "received_at!", event_id as "event_id!", channel_id, user_id, outcome, reason
           from wanted order by received_at desc limit $7"#,
        tenant_id.as_str(),
        filter.event_id,
        filter.channel_id,
        filter.last_seconds,
        filter.outcome,
        filter.user_id,
        limit,
    )
    .fetch_all(tx)
    .await?)
}
