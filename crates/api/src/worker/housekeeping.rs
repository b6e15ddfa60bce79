//! Periodic tasks, which run on the first replica that gets to them.

use std::sync::Arc;
use std::time::Duration;

use db::idle_threads::PurgeCursor;
use db::{Db, DbError};
use futures_util::{StreamExt, stream};
use tokio::time::interval;

use crate::state::ApiState;
use crate::{lifecycle, token_refresh};

const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// Tokens that are refreshed at the same time.
const MAX_CONCURRENT_REFRESHES: usize = 8;

/// Never returns.
pub(super) async fn run(state: Arc<ApiState>) {
    let (db, retention_days) = (&state.db, state.event_retention_days);
    let mut ticks = interval(HOUSEKEEPING_INTERVAL);
    let mut cursor = PurgeCursor::default();
    loop {
        ticks.tick().await;
        // Each task fails alone: what is wrong with one must not stop deletions or refreshes.
        log_failure("token refreshes", refresh_expiring_tokens(&state).await);
        log_failure("deletions", lifecycle::delete_expired_tenants(db).await);
        log_failure("abandoned reservations", charge_expired_reservations(db).await);
        log_failure("ignored events", purge_ignored_events(db).await);
        log_failure("chat memory", purge_old_chat_memory(db).await);
        maintain_history_partitions(db, retention_days).await;
        log_failure("finished events", archive_finished_events(db, retention_days).await);
        match purge_idle_threads(db, retention_days, &cursor).await {
            Ok(next) => cursor = next,
            Err(error) => log_failure("idle threads", Err(error)),
        }
    }
}

fn log_failure(task: &'static str, done: Result<(), DbError>) {
    if let Err(error) = done {
        tracing::warn!(error = %error, "housekeeping of {task} failed");
    }
}

/// Refreshes tokens also in workspaces where nothing happens for half a day.
async fn refresh_expiring_tokens(state: &ApiState) -> Result<(), DbError> {
    let mut tx = state.db.begin_cross_tenant().await?;
    let expiring = db::tokens::list_expiring(&mut tx, token_refresh::TOKEN_REFRESH_AHEAD).await?;
    drop(tx);
    // A workspace for which Slack is slow delays no other.
    let refreshes =
        stream::iter(expiring).for_each_concurrent(MAX_CONCURRENT_REFRESHES, |tenant_id| async move {
            if let Err(error) = token_refresh::refresh(state, &tenant_id).await {
                tracing::warn!(tenant_id = %tenant_id, error = ?error, "token refresh failed");
            }
        });
    refreshes.await;
    Ok(())
}

/// Charges HTTP requests that a dead process left.
async fn charge_expired_reservations(db: &Db) -> Result<(), DbError> {
    let mut tx = db.begin_cross_tenant().await?;
    db::reservations::charge_expired(&mut tx).await?;
    tx.commit().await
}

async fn purge_ignored_events(db: &Db) -> Result<(), DbError> {
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let purged = db::ignored_events::purge(&mut tx).await?;
        tx.commit().await?;
        if purged == 0 {
            return Ok(());
        }
    }
}

/// Deletes messages that are older than their workspaces' memory setting.
async fn purge_old_chat_memory(db: &Db) -> Result<(), DbError> {
    loop {
        let mut tx = db.begin_cross_tenant().await?;
        let purged = db::settings::purge_expired_messages(&mut tx).await?;
        tx.commit().await?;
        if purged == 0 {
            return Ok(());
        }
    }
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
