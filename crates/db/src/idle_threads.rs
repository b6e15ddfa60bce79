//! Threads that are of no more use: those in which nothing was said. No index is needed for that: the table is walked in the
//! order of its key.

use crate::{DbError, Tx};

/// Threads looked at in one transaction.
const IDLE_THREAD_PAGE: i64 = 1000;

/// How far the walk over the threads has come; from the end it begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeCursor {
    tenant_id: String,
    channel_id: String,
    thread_ts: String,
}

/// Looks at the next threads and forgets those in which nothing happened for so many days and nothing is remembered. One in
/// which an external person was refused stays, so that they are not told twice.
pub async fn purge_idle_threads(
    tx: &mut Tx,
    days: i32,
    cursor: &PurgeCursor,
) -> Result<PurgeCursor, DbError> {
    // Whoever wakes such a thread at this moment locks its row: then it is not idle any more, or is made anew.
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
               and not exists (select from turns s where s.tenant_id = t.tenant_id
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
