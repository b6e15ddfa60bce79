//! The table `event_history`, partitioned by day: finished events that Slack no longer redelivers.

use crate::{DbError, Tx};

/// Days after which Slack no longer redelivers an event, plus one as a margin: the idempotency keys are kept
/// that long. Source: <https://docs.slack.dev/apis/events-api/#retries>
const SLACK_RETRY_DAYS: i32 = 2;

/// Events handled in one transaction.
const HISTORY_PAGE: i64 = 1000;

/// Result of moving one page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Number of events that left `events`.
    pub removed: i64,
    /// Last event of the page; the next page starts after it.
    pub last_seq: Option<i64>,
    /// True if no event after this page is old enough.
    pub is_last: bool,
}

/// Creates the partitions of the coming days, and drops those whose events are all older than `days` days.
/// Returns the number of dropped partitions.
pub async fn maintain_partitions(tx: &mut Tx, days: i32) -> Result<i32, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select dropped as "dropped!" 
           from maintain_event_history_partitions($1, (select received_at from events order by seq limit 1))"#,
        days,
    )
    .fetch_one(tx)
    .await?)
}

/// Moves finished events out of `events`, starting after `after`: events older than `days` days are deleted,
/// other old ones move to the history. Unfinished events stay, whatever their age; dead letters stay until
/// they are deleted.
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
                      or e.outcome <> 'set_aside')
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
