//! What waits, of all tenants, and what was given up.

use chrono::{DateTime, Utc};
use models::TenantId;

use crate::{DbError, Tx};

/// What waits of a tenant.
#[derive(Clone, Debug)]
pub struct TenantBacklog {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Events.
    pub count: i64,
    /// When the oldest came.
    pub oldest_at: DateTime<Utc>,
}

/// The tenants of which most waits.
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

/// Where the threads stand that have something to do, and what is not sorted into them yet.
#[derive(Clone, Debug)]
pub struct QueueStats {
    /// In some worker's hands.
    pub leased: i64,
    /// That some worker may take.
    pub ready: i64,
    /// That wait for their next try, or their turn.
    pub backoff: i64,
    /// Events that were acknowledged and not sorted.
    pub not_enqueued: i64,
}

/// Counts them.
pub async fn load_queue_stats(tx: &mut Tx) -> Result<QueueStats, DbError> {
    Ok(sqlx::query_as!(
        QueueStats,
        r#"select (select count(*) from threads where state = 'leased') as "leased!",
                  (select count(*) from threads where state = 'ready') as "ready!",
                  (select count(*) from threads where state = 'backoff') as "backoff!",
                  (select coalesce(sum(event_count), 0) from deliveries) as "not_enqueued!""#
    )
    .fetch_one(tx)
    .await?)
}

/// An event that was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Whose.
    pub tenant_id: TenantId,
    /// Slack's id of it.
    pub event_id: String,
    /// What it asks for.
    pub kind: String,
    /// When it was given up.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
}

/// The newest of all tenants, or of one.
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
