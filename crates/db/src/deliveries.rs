//! The table `deliveries`: what was acknowledged and is not sorted into `events` yet
//! (`migrations/0012_deliveries.sql`).

use models::InboundEvent;

use crate::events::{Enqueued, Rows};
use crate::{DbError, Tx, keys};

/// Commits sorted in one transaction, at most.
const BATCHES: i32 = 64;

/// Stores a batch as one row; how many of its events are of workspaces without an installation and were left out. The
/// events may be of many tenants.
pub async fn insert(tx: &mut Tx, events: &[InboundEvent]) -> Result<u64, DbError> {
    let keys = keys::list_of_installed(tx, &crate::events::tenants_of(events)).await?;
    let rows = Rows::seal(events, &keys)?;
    let known = rows.addressed.len();
    if known > 0 {
        sqlx::query!(
            "insert into deliveries (event_count, tenant_ids, event_ids, kinds, channel_ids, thread_tss, message_tss,
                                     client_msg_ids, user_ids, bodies, addressed)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            i32::try_from(known).unwrap_or(i32::MAX),
            &rows.tenant_ids,
            &rows.event_ids,
            &rows.kinds,
            &rows.channel_ids,
            &rows.thread_tss,
            &rows.message_tss as &[Option<String>],
            &rows.client_msg_ids as &[Option<String>],
            &rows.user_ids,
            &rows.bodies,
            &rows.addressed,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok((events.len() - known) as u64)
}

/// Sorts the oldest into `events`, which makes their threads ready; `None` where nothing waits to be sorted. Waits for
/// another replica that does.
pub async fn sort(tx: &mut Tx) -> Result<Option<Enqueued>, DbError> {
    let counts = sqlx::query!(
        "select event_count, known_count, relevant_count, stored_count from sort_deliveries($1)",
        BATCHES
    )
    .fetch_one(tx)
    .await?;
    let Some(events) = counts.event_count else { return Ok(None) };
    let count = |column: Option<i64>| column.unwrap_or_default();
    let (known, relevant, stored) =
        (count(counts.known_count), count(counts.relevant_count), count(counts.stored_count));
    Ok(Some(Enqueued {
        stored: stored.unsigned_abs(),
        duplicate: (relevant - stored).unsigned_abs(),
        not_addressed: (known - relevant).unsigned_abs(),
        not_installed: (events - known).unsigned_abs(),
    }))
}
