//! What a workspace is and how it wants its bot: kept from one answer to the next (`cache`), sealed, while this process hears
//! of every change; else read anew.

use std::sync::Arc;
use std::time::Duration;

use db::change_feed::{ChangeEvent, ChangeListener, FeedHeartbeat};
use db::workspaces::WorkspaceSnapshot;
use db::{Db, DbError};
use models::TenantId;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::state::ApiState;

/// What is kept is believed for so long after a moment up to which every change was heard of: longer than that nobody
/// answers by what an admin has changed, even where the session is dead and does not say so.
const MAX_CACHE_STALENESS: Duration = Duration::from_millis(900);

/// Between two looks at whether changes are heard.
const CHANGE_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);

/// How long a look may take.
const CHANGE_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// A session that heard nothing for so long, not even the looks, is opened anew.
const CHANGE_SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// Before a session that failed is opened anew.
const CHANGE_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// A workspace in which the bot is installed: as it is kept, else as it is stored. Asked outside of a transaction.
pub(crate) async fn find_workspace(
    app: &ApiState,
    tenant_id: &TenantId,
) -> Result<Option<WorkspaceSnapshot>, DbError> {
    if app.workspace_cache.is_valid() {
        let load =
            async { db::workspaces::find_sealed(&mut app.db.begin(tenant_id).await?, tenant_id).await };
        let Some(sealed) = app.workspace_cache.get_or_load(tenant_id, load).await? else { return Ok(None) };
        match db::workspaces::open(&app.db, tenant_id, &sealed).await {
            Ok(workspace) => return Ok(Some(workspace)),
            // Its key was replaced, or a replica of another release has kept it.
            Err(error) => tracing::info!(error = %error, "what was kept of a workspace does not open"),
        }
        app.workspace_cache.invalidate(tenant_id).await;
    }
    db::workspaces::find(&mut app.db.begin(tenant_id).await?, tenant_id).await
}

/// Forgets what changes, on every replica as it is committed; returns only where that can never be heard.
pub(crate) async fn watch_changes(app: Arc<ApiState>) {
    let echo = FeedHeartbeat::default();
    let listening = async {
        while let Err(error) = follow_changes(&app, &echo).await {
            tracing::warn!(error = %error, "no session hears of changes: workspaces are read for each answer");
            if matches!(error, DbError::NoDirectSession) {
                return;
            }
            sleep(CHANGE_RECONNECT_DELAY).await;
        }
    };
    tokio::select! {
        () = run_heartbeat_loop(&app.db, &echo) => {}
        () = listening => {}
    }
}

async fn follow_changes(app: &ApiState, echo: &FeedHeartbeat) -> Result<(), DbError> {
    let mut changes = ChangeListener::listen(&app.db, echo).await?;
    app.workspace_cache.invalidate_all().await;
    while let Ok(change) = timeout(CHANGE_SILENCE_TIMEOUT, changes.recv()).await {
        match change? {
            ChangeEvent::Tenant(tenant_id) => app.workspace_cache.invalidate(&tenant_id).await,
            ChangeEvent::All => app.workspace_cache.invalidate_all().await,
            ChangeEvent::Heartbeat(said_at) => {
                app.workspace_cache.set_valid_until(said_at + MAX_CACHE_STALENESS)
            }
        }
    }
    Err(DbError::Timeout)
}

/// Says something again and again, which has to be heard.
async fn run_heartbeat_loop(db: &Db, echo: &FeedHeartbeat) {
    let mut looks = interval(CHANGE_HEARTBEAT_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // Where it fails, what is kept is not believed; whoever reads finds out why.
        let _ = timeout(CHANGE_HEARTBEAT_TIMEOUT, echo.send(db)).await;
    }
}
