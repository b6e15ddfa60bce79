//! What is old and of no more use: finished events, with how far their answers came, and threads in which nothing was
//! said. Neither needs an index of its own: tables are walked in the order of their keys.

use crate::{DbError, Tx};

/// Rows looked at in one transaction.
const PAGE: i64 = 1000;

/// What came of a page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgedPage {
    /// How many are gone.
    pub purged: i64,
    /// The page's last event; the next page begins behind it.
    pub last_seq: Option<i64>,
    /// No event behind this page is too old.
    pub is_last: bool,
}

/// Deletes the finished ones of the oldest events behind `after`, as far as they came more than so many days ago. What
/// is still to be done stays, however old.
pub async fn purge_finished(tx: &mut Tx, days: i32, after: Option<i64>) -> Result<PurgedPage, DbError> {
    Ok(sqlx::query_as!(
        PurgedPage,
        r#"with page as (
               select seq, received_at < now() - make_interval(days => $1) as is_old from events
               where seq > coalesce($2::bigint, 0) order by seq limit $3
           ), gone as (
               delete from events e using page p where e.seq = p.seq and p.is_old and e.outcome is not null
               returning e.seq
           )
           select (select count(*) from gone) as "purged!", max(seq) as last_seq,
                  (count(*) < $3 or not bool_and(is_old)) as "is_last!"
           from page"#,
        days,
        after,
        PAGE,
    )
    .fetch_one(tx)
    .await?)
}

/// How far the walk over the threads has come; from the end it begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    tenant_id: String,
    channel_id: String,
    thread_ts: String,
}

/// Looks at the next threads and forgets those in which nothing happened for so many days and nothing is remembered. One in
/// which an external person was refused stays, so that they are not told twice.
pub async fn purge_idle_threads(tx: &mut Tx, days: i32, walk: &Walk) -> Result<Walk, DbError> {
    // Whoever wakes such a thread at this moment locks its row: then it is not idle any more, or is made anew.
    let last = sqlx::query_as!(
        Walk,
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
        walk.tenant_id,
        walk.channel_id,
        walk.thread_ts,
        PAGE,
    )
    .fetch_optional(tx)
    .await?;
    Ok(last.unwrap_or_default())
}
