//! What is due now and then, on whichever replica comes to it first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::app::App;
use crate::failure::Failure;
use crate::{life_cycle, tokens};

const INTERVAL: Duration = Duration::from_secs(60);

/// Never returns.
pub(super) async fn run(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        let done = async {
            refresh_tokens(&app).await?;
            while life_cycle::delete_due(&app).await? > 0 {}
            while purge_ignored(&app).await? > 0 {}
            Ok::<_, Failure>(())
        };
        if let Err(failure) = done.await {
            tracing::warn!(error = ?failure, "the housekeeping did not come to its end");
        }
    }
}

/// Tokens rotate also where nobody asks anything for half a day.
async fn refresh_tokens(app: &App) -> Result<(), Failure> {
    let mut tx = app.db.begin().await?;
    let expiring = db::tokens::list_expiring(&mut tx, tokens::AHEAD).await?;
    drop(tx);
    for tenant_id in expiring {
        if let Err(failure) = tokens::refresh(app, &tenant_id).await {
            tracing::warn!(tenant_id = %tenant_id, error = ?failure, "a token was not refreshed");
        }
    }
    Ok(())
}

async fn purge_ignored(app: &App) -> Result<u64, Failure> {
    let mut tx = app.db.begin().await?;
    let purged = db::ignored_events::purge(&mut tx).await?;
    tx.commit().await?;
    Ok(purged)
}
