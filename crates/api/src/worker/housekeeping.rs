//! What is due now and then, on whichever replica comes to it first.

use std::sync::Arc;
use std::time::Duration;

use db::DbError;
use db::idle_threads::PurgeCursor;
use tokio::time::interval;

use crate::job_error::JobError;
use crate::state::ApiState;
use crate::{lifecycle, token_refresh};

const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// Never returns.
pub(super) async fn run(app: Arc<ApiState>) {
    let mut ticks = interval(HOUSEKEEPING_INTERVAL);
    let mut walk = PurgeCursor::default();
    loop {
        ticks.tick().await;
        let done = async {
            refresh_expiring_tokens(&app).await?;
            while lifecycle::delete_expired_tenants(&app).await? > 0 {}
            charge_expired_reservations(&app).await?;
            while purge_ignored_events(&app).await? > 0 {}
            while purge_old_chat_memory(&app).await? > 0 {}
            maintain_history_partitions(&app).await?;
            archive_finished_events(&app).await?;
            walk = purge_idle_threads(&app, &walk).await?;
            Ok::<_, JobError>(())
        };
        if let Err(failure) = done.await {
            tracing::warn!(error = ?failure, "the housekeeping did not come to its end");
        }
    }
}

/// Tokens rotate also where nobody asks anything for half a day.
async fn refresh_expiring_tokens(app: &ApiState) -> Result<(), JobError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    let expiring = db::tokens::list_expiring(&mut tx, token_refresh::TOKEN_REFRESH_AHEAD).await?;
    drop(tx);
    for tenant_id in expiring {
        if let Err(failure) = token_refresh::refresh(app, &tenant_id).await {
            tracing::warn!(tenant_id = %tenant_id, error = ?failure, "a token was not refreshed");
        }
    }
    Ok(())
}

/// What a dead process held for programs' questions.
async fn charge_expired_reservations(app: &ApiState) -> Result<(), JobError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    db::reservations::charge_expired(&mut tx).await?;
    Ok(tx.commit().await?)
}

async fn purge_ignored_events(app: &ApiState) -> Result<u64, JobError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    let purged = db::ignored_events::purge(&mut tx).await?;
    tx.commit().await?;
    Ok(purged)
}

/// What workspaces want remembered for so many days only.
async fn purge_old_chat_memory(app: &ApiState) -> Result<u64, JobError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    let forgotten = db::settings::purge_expired_messages(&mut tx).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// The parts of the history, of which one a day is new and one too old. Whoever reads in one just now is not waited for: the next
/// round comes in a minute.
async fn maintain_history_partitions(app: &ApiState) -> Result<(), JobError> {
    let kept = async {
        let mut tx = app.db.begin_cross_tenant().await?;
        let dropped = db::event_history::maintain_partitions(&mut tx, app.event_retention_days).await?;
        tx.commit().await?;
        Ok::<_, DbError>(dropped)
    };
    match kept.await {
        Ok(0) => {}
        Ok(dropped) => tracing::info!(dropped, "days of the history were dropped"),
        Err(error) => tracing::warn!(error = %error, "the history's parts stay as they are for now"),
    }
    Ok(())
}

/// From the oldest on, a batch at a time, as far as what is too old reaches.
async fn archive_finished_events(app: &ApiState) -> Result<(), JobError> {
    let mut after = None;
    loop {
        let mut tx = app.db.begin_cross_tenant().await?;
        let page = db::event_history::move_finished(&mut tx, app.event_retention_days, after).await?;
        tx.commit().await?;
        if page.is_last {
            return Ok(());
        }
        after = page.last_seq;
    }
}

/// One page of the table each time: nobody waits for these, and no index has to be kept for them.
async fn purge_idle_threads(app: &ApiState, walk: &PurgeCursor) -> Result<PurgeCursor, JobError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    let next = db::idle_threads::purge_idle_threads(&mut tx, app.event_retention_days, walk).await?;
    tx.commit().await?;
    Ok(next)
}
