//! Periodic tasks, which run on the first replica that gets to them.

use std::sync::Arc;
use std::time::Duration;

use db::idle_threads::PurgeCursor;
use db::{Db, DbError};
use tokio::time::interval;

use crate::job::error::JobError;
use crate::state::ApiState;
use crate::{lifecycle, token_refresh};

const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// Never returns.
pub(super) async fn run(state: Arc<ApiState>) {
    let (db, retention_days) = (&state.db, state.event_retention_days);
    let mut ticks = interval(HOUSEKEEPING_INTERVAL);
    let mut cursor = PurgeCursor::default();
    loop {
        ticks.tick().await;
        let done = async {
            refresh_expiring_tokens(&state).await?;
            while lifecycle::delete_expired_tenants(db).await? > 0 {}
            charge_expired_reservations(db).await?;
            while purge_ignored_events(db).await? > 0 {}
            while purge_old_chat_memory(db).await? > 0 {}
            maintain_history_partitions(db, retention_days).await;
            archive_finished_events(db, retention_days).await?;
            cursor = purge_idle_threads(db, retention_days, &cursor).await?;
            Ok::<_, JobError>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(error = ?error, "housekeeping failed");
        }
    }
}

/// Refreshes tokens also in workspaces where nothing happens for half a day.
async fn refresh_expiring_tokens(state: &ApiState) -> Result<(), JobError> {
    let mut tx = state.db.begin_cross_tenant().await?;
    let expiring = db::tokens::list_expiring(&mut tx, token_refresh::TOKEN_REFRESH_AHEAD).await?;
    drop(tx);
    for tenant_id in expiring {
        if let Err(error) = token_refresh::refresh(state, &tenant_id).await {
            tracing::warn!(tenant_id = %tenant_id, error = ?error, "token refresh failed");
        }
    }
    Ok(())
}

/// Charges HTTP requests that a dead process left.
async fn charge_expired_reservations(db: &Db) -> Result<(), DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    db::reservations::charge_expired(&mut tx).await?;
    tx.commit().await
}

async fn purge_ignored_events(db: &Db) -> Result<u64, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let purged = db::ignored_events::purge(&mut tx).await?;
    tx.commit().await?;
    Ok(purged)
}

/// Deletes messages that are older than their workspaces' memory setting.
async fn purge_old_chat_memory(db: &Db) -> Result<u64, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let purged = db::settings::purge_expired_messages(&mut tx).await?;
    tx.commit().await?;
    Ok(purged)
}

/// Creates and drops the daily partitions of the event history. It does not wait for a query that holds one:
/// the next round is in a minute.
async fn maintain_history_partitions(db: &Db, retention_days: i32) {
    let maintained = async {
        let mut tx = db.begin_cross_tenant().await?;
        let dropped = db::event_history::maintain_partitions(&mut tx, retention_days).await?;
        tx.commit().await?;
        Ok::<_, DbError>(dropped)
    };
    match maintained.await {
        Ok(0) => {}
        Ok(dropped) => tracing::info!("event history partitions dropped: {dropped}"),
        Err(error) => tracing::warn!(error = %error, "event history partitions not maintained"),
    }
}

/// Moves finished events to the history in batches, oldest first.
async fn archive_finished_events(db: &Db, retention_days: i32) -> Result<(), DbError> {
    let mut after = None;
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let page = db::event_history::move_finished(&mut tx, retention_days, after).await?;
        tx.commit().await?;
        if page.is_last {
            return Ok(());
        }
        after = page.last_seq;
    }
}

/// Purges one page of the table per round: this is not urgent, and needs no index.
async fn purge_idle_threads(
    db: &Db,
    retention_days: i32,
    cursor: &PurgeCursor,
) -> Result<PurgeCursor, DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    let next = db::idle_threads::purge_idle_threads(&mut tx, retention_days, cursor).await?;
    tx.commit().await?;
    Ok(next)
}
