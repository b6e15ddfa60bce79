//! The table `event_history`: what became of the events that ended and that Slack brings no more, a part a day.

use crate::{DbError, Tx};

/// Days after which Slack brings an event no more, with one to spare: the keys against doing it twice stay that long.
/// Source: <https://docs.slack.dev/apis/events-api/#retries>
const SLACK_RETRY_DAYS: i32 = 2;

/// Events looked at in one transaction.
const HISTORY_PAGE: i64 = 1000;

/// What came of a page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// How many left the queue's table.
    pub removed: i64,
    /// The page's last event; the next page begins behind it.
    pub last_seq: Option<i64>,
    /// No event behind this page is old enough.
    pub is_last: bool,
}

/// Makes the parts for the days to come, and drops those of which all came more than so many days ago; how many those were.
pub async fn maintain_partitions(tx: &mut Tx, days: i32) -> Result<i32, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select dropped as "dropped!" 
           from keep_event_history($1, (select received_at from events order by seq limit 1))"#,
        days,
    )
    .fetch_one(tx)
    .await?)
}

/// Takes those that have ended out of `events`, of the oldest behind `after`: what came more than so many days ago is
/// deleted, what is old enough moves to the history. What is still to be done stays, however old, and what was set aside until
/// it is deleted. While a process of the release before this one runs, which looks into `events` only, nothing moves.
pub async fn move_finished(tx: &mut Tx, days: i32, after: Option<i64>) -> Result<HistoryPage, DbError> {
    Ok(sqlx::query_as!(
        HistoryPage,
        r#"with page as (
               select seq, received_at < now() - make_interval(days => least($1::int, $4::int)) as is_old,
                      received_at < now() - make_interval(days => $1::int) as is_due
               from events where seq > coalesce($2::bigint, 0) order by seq limit $3
           ), removed as (
               delete from events e using page p
               where e.seq = p.seq and p.is_old and e.outcome is not null
                 and (p.is_due
                      or e.outcome <> 'set_aside'
                         and not exists (select from replicas where seen_at > now() - interval '10 minutes'
                                         and not facts ? 'reads_event_history'))
               returning e.*, p.is_due
           ), kept as (
               insert into event_history (seq, tenant_id, event_id, kind, channel_id, thread_ts, message_ts, user_id,
                                          attempts, attempts_log, outcome, reason, received_at, finished_at,
                                          stop_requested_at, reply_ts)
               select g.seq, g.tenant_id, g.event_id, g.kind, g.channel_id, g.thread_ts, g.message_ts, g.user_id,
                      g.attempts, g.attempts_log, g.outcome, g.reason, g.received_at,
                      coalesce(g.finished_at, g.received_at), g.stop_requested_at, r.message_ts
               from removed g join tenants using (tenant_id) left join replies r on r.seq = g.seq
               where not g.is_due
           )
           select (select count(*) from removed) as "removed!", max(seq) as last_seq,
                  (count(*) < $3 or not bool_and(is_old)) as "is_last!"
           from page"#,
        days,
        after,
        HISTORY_PAGE,
        SLACK_RETRY_DAYS,
    )
    .fetch_one(tx)
    .await?)
}
