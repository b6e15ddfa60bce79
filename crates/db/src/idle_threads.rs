//! Purge of threads that are no longer needed because they hold no messages. The purge walks the table in key
//! order, so it needs no index.

use crate::{DbError, Tx};

/// Threads checked in one transaction.
const IDLE_THREAD_PAGE: i64 = 1000;

/// Position of the purge in the threads; after the last one it starts over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeCursor {
    tenant_id: String,
    channel_id: String,
    thread_ts: String,
}

/// Checks the next threads and deletes those that were idle for `days` days and have no messages. A thread in
/// which an external person was refused is kept, so that they are not told twice.
pub async fn purge_idle_threads(
    tx: &mut Tx,
    days: i32,
    cursor: &PurgeCursor,
) -> Result<PurgeCursor, DbError> {
    // A transaction that wakes such a thread at this moment locks its row: then the thread is no longer idle,
    // or it is created again.
    let last = sqlx::query_as!(
        PurgeCursor,
        "with page as (
             select tenant_id, channel_id, thread_ts from threads
             where (tenant_id, channel_id, thread_ts) > ($2, $3, $4)
             order by tenant_id, channel_id, thread_ts limit $5
         ), gone as (
             delete from threads t using page p
             where (t.tenant_id, t.channel_id, t.thread_ts) = (p.tenant_id, p.channel_id, p.thread_ts)
               and t.state = 'idle' and t.refused_at is null and t.used_at < now() - make_interval(days => $1)
               and not exists (select from chat_memory s where s.tenant_id = t.tenant_id
                               and s.channel_id = t.channel_id and s.thread_ts = t.thread_ts)
         )
         select tenant_id, channel_id, thread_ts from page offset $5 - 1",
        days,
        cursor.tenant_id,
        cursor.channel_id,
        cursor.thread_ts,
        IDLE_THREAD_PAGE,
    )
    .fetch_optional(tx)
    .await?;
    Ok(last.unwrap_or_default())
}
