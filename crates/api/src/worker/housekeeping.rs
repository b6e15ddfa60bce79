//! What is due now and then, on whichever replica comes to it first.

use std::sync::Arc;
use std::time::Duration;

use db::DbError;
use db::retention::Walk;
use tokio::time::interval;

use crate::app::App;
use crate::failure::Failure;
use crate::{life_cycle, tokens};

const INTERVAL: Duration = Duration::from_secs(60);

/// Never returns.
pub(super) async fn run(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    let mut walk = Walk::default();
    loop {
        ticks.tick().await;
        let done = async {
            refresh_tokens(&app).await?;
            while life_cycle::delete_due(&app).await? > 0 {}
            book_expired(&app).await?;
            while purge_ignored(&app).await? > 0 {}
            while forget_old_turns(&app).await? > 0 {}
            keep_history(&app).await?;
            move_finished(&app).await?;
            walk = purge_idle_threads(&app, &walk).await?;
            Ok::<_, Failure>(())
        };
        if let Err(failure) = done.await {
            tracing::warn!(error = ?failure, "the housekeeping did not come to its end");
        }
    }
}

/// Tokens rotate also where nobody asks anything for half a day.
async fn refresh_tokens(app: &App) -> Result<(), Failure> {
    let mut tx = app.db.begin_for_all().await?;
    let expiring = db::tokens::list_expiring(&mut tx, tokens::AHEAD).await?;
    drop(tx);
    for tenant_id in expiring {
        if let Err(failure) = tokens::refresh(app, &tenant_id).await {
            tracing::warn!(tenant_id = %tenant_id, error = ?failure, "a token was not refreshed");
        }
    }
    Ok(())
}

/// What a dead process held for programs' questions.
async fn book_expired(app: &App) -> Result<(), Failure> {
    let mut tx = app.db.begin_for_all().await?;
    db::reservations::book_expired(&mut tx).await?;
    Ok(tx.commit().await?)
}

async fn purge_ignored(app: &App) -> Result<u64, Failure> {
    let mut tx = app.db.begin_for_all().await?;
    let purged = db::ignored_events::purge(&mut tx).await?;
    tx.commit().await?;
    Ok(purged)
}

/// What workspaces want remembered for so many days only.
async fn forget_old_turns(app: &App) -> Result<u64, Failure> {
    let mut tx = app.db.begin_for_all().await?;
    let forgotten = db::settings::forget_old_turns(&mut tx).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// The parts of the history, of which one a day is new and one too old. Whoever reads in one just now is not waited for: the next
/// round comes in a minute.
async fn keep_history(app: &App) -> Result<(), Failure> {
    let kept = async {
        let mut tx = app.db.begin_for_all().await?;
        let dropped = db::event_history::keep_parts(&mut tx, app.event_retention_days).await?;
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
async fn move_finished(app: &App) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let mut tx = app.db.begin_for_all().await?;
        let page = db::event_history::move_finished(&mut tx, app.event_retention_days, after).await?;
        tx.commit().await?;
        if page.is_last {
            return Ok(());
        }
        after = page.last_seq;
    }
}

/// One page of the table each time: nobody waits for these, and no index has to be kept for them.
async fn purge_idle_threads(app: &App, walk: &Walk) -> Result<Walk, Failure> {
    let mut tx = app.db.begin_for_all().await?;
    let next = db::retention::purge_idle_threads(&mut tx, app.event_retention_days, walk).await?;
    tx.commit().await?;
    Ok(next)
}
