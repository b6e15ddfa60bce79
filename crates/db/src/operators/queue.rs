//! The queue and the dead letters of all tenants.

use chrono::{DateTime, Utc};
use models::TenantId;

use crate::{DbError, Tx};

/// A tenant's unfinished events.
#[derive(Clone, Debug)]
pub struct TenantBacklog {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Number of events.
    pub count: i64,
    /// Time of arrival of the oldest one.
    pub oldest_at: DateTime<Utc>,
}

/// Lists the tenants with the most unfinished events.
pub async fn list_backlogs(tx: &mut Tx, limit: i64) -> Result<Vec<TenantBacklog>, DbError> {
    Ok(sqlx::query_as!(
        TenantBacklog,
        r#"select tenant_id, count(*) as "count!", min(received_at) as "oldest_at!" from events
           where outcome is null group by tenant_id order by 2 desc, 3 limit $1"#,
        limit,
    )
    .fetch_all(tx)
    .await?)
}

/// Threads by state, and the size of the inbox.
#[derive(Clone, Debug)]
pub struct QueueStats {
    /// Threads leased by a worker.
    pub leased: i64,
    /// Threads that a worker may claim.
    pub ready: i64,
    /// Threads that wait for a retry or for the rate limit.
    pub backoff: i64,
    /// Acknowledged events that are still in the inbox.
    pub not_enqueued: i64,
}

/// Returns the state of the queue.
pub async fn load_queue_stats(tx: &mut Tx) -> Result<QueueStats, DbError> {
    Ok(sqlx::query_as!(
        QueueStats,
        r#"select (select count(*) from threads where state = 'leased') as "leased!",
                  (select count(*) from threads where state = 'ready') as "ready!",
                  (select count(*) from threads where state = 'backoff') as "backoff!",
                  (select coalesce(sum(event_count), 0) from event_inbox) as "not_enqueued!""#
    )
    .fetch_one(tx)
    .await?)
}

/// A dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Tenant of the event.
    pub tenant_id: TenantId,
    /// Slack's event id.
    pub event_id: String,
    /// Kind of the event.
    pub kind: String,
    /// Time at which it was dead-lettered.
    pub finished_at: Option<DateTime<Utc>>,
    /// Reason.
    pub reason: Option<String>,
}

/// Lists the newest dead letters of all tenants, or of one.
pub async fn list_dead_letters(
    tx: &mut Tx,
    tenant_id: Option<&TenantId>,
    limit: i64,
) -> Result<Vec<DeadLetter>, DbError> {
    Ok(sqlx::query_as!(
        DeadLetter,
        "select tenant_id, event_id, kind, finished_at, reason from events
         where outcome = 'set_aside' and ($1::text is null or tenant_id = $1) order by finished_at desc limit $2",
        tenant_id.map(TenantId::as_str),
        limit,
    )
    .fetch_all(tx)
    .await?)
}
