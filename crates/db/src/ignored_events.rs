//! The table `ignored_events`, and the question "why no reply?" over it, `events` and `event_history`.

use chrono::{DateTime, Utc};
use models::{IgnoredEvent, TenantId};

use crate::{DbError, Tx};

/// How long it can be looked up.
const IGNORED_EVENT_RETENTION_DAYS: i32 = 7;

/// Notes events that nothing is done about; those of tenants without an installation are not kept. The installation is
/// held so long: an uninstall deletes what was noted before it, and nothing is noted after it.
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

/// Drops what is older than a week, a batch at a time; how many those were.
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

/// Which events to look up.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// One event.
    pub event_id: Option<String>,
    /// Those that ended so.
    pub outcome: Option<String>,
    /// Those of a channel.
    pub channel_id: Option<String>,
    /// Those of a person.
    pub user_id: Option<String>,
    /// Those of the last so many seconds.
    pub last_seconds: Option<f64>,
}

/// What became of an event.
#[derive(Clone, Debug)]
pub struct EventSummary {
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Slack's id of it.
    pub event_id: String,
    /// Where it happened.
    pub channel_id: Option<String>,
    /// Who did it.
    pub user_id: Option<String>,
    /// How it ended; `None` while it waits.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The newest events of a tenant that the filter meets, answered or not: of those that ended, those that ended last. Each
/// kind is read along its own index; what was set aside is in `events` only.
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
