//! Dead letters in `events`: redriven or discarded.

use models::{EventId, EventOutcome, TenantId, ThreadKey};

use crate::{DbError, Tx, threads};

/// Redrives a dead letter: it continues where it stopped. Returns whether there was one.
pub async fn redrive(tx: &mut Tx, tenant_id: &TenantId, event_id: &EventId) -> Result<bool, DbError> {
    Ok(redrive_matching(tx, tenant_id, Some(event_id)).await? > 0)
}

/// Redrives all dead letters of a tenant and returns their number.
pub async fn redrive_all(tx: &mut Tx, tenant_id: &TenantId) -> Result<usize, DbError> {
    redrive_matching(tx, tenant_id, None).await
}

async fn redrive_matching(
    tx: &mut Tx,
    tenant_id: &TenantId,
    event_id: Option<&EventId>,
) -> Result<usize, DbError> {
    let redriven = sqlx::query!(
        "update events set outcome = null, finished_at = null, attempts = 0, not_before = null,
             stop_requested_at = null, throttled_since = null, rate_limited_until = null
         where tenant_id = $1 and outcome = 'set_aside' and ($2::text is null or event_id = $2)
         returning channel_id, thread_ts",
        tenant_id.as_str(),
        event_id.map(EventId::as_str),
    )
    .fetch_all(&mut *tx)
    .await?;
    let count = redriven.len();
    let mut touched: Vec<ThreadKey> = redriven
        .into_iter()
        .map(|row| ThreadKey { channel_id: row.channel_id.into(), thread_ts: row.thread_ts.into() })
        .collect();
    // In the same order in which the inbox takes these locks.
    touched.sort_unstable();
    touched.dedup();
    for thread in &touched {
        threads::make_ready(tx, tenant_id, thread).await?;
    }
    Ok(count)
}

/// Discards a dead letter and deletes its text. Returns whether there was one.
pub async fn discard(tx: &mut Tx, tenant_id: &TenantId, event_id: &EventId) -> Result<bool, DbError> {
    let seqs = sqlx::query_scalar!(
        "update events set outcome = $3, body = null
         where tenant_id = $1 and event_id = $2 and outcome = 'set_aside' returning seq",
        tenant_id.as_str(),
        event_id.as_str(),
        EventOutcome::Discarded.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "update usage set outcome = $3 where tenant_id = $1 and seq = any($2)",
        tenant_id.as_str(),
        &seqs,
        EventOutcome::Discarded.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update replies set text = null where tenant_id = $1 and seq = any($2)",
        tenant_id.as_str(),
        &seqs
    )
    .execute(tx)
    .await?;
    Ok(!seqs.is_empty())
}
