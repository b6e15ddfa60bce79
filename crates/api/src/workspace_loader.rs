//! Loads the installation and the settings of a workspace. They are cached, encrypted (`cache`), as long as
//! this process receives every change; otherwise they are read from Postgres each time.

use std::sync::Arc;
use std::time::Duration;

use db::change_feed::{ChangeEvent, ChangeListener, FeedHeartbeat};
use db::workspaces::WorkspaceSnapshot;
use db::{Db, DbError};
use models::TenantId;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::state::ApiState;

/// The time for which the cache is valid after the last heartbeat arrived. An admin's change takes effect
/// within it, even if the listening connection died without an error.
const MAX_CACHE_STALENESS: Duration = Duration::from_millis(900);

/// The interval between two heartbeats.
const CHANGE_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);

/// The time that sending a heartbeat may take.
const CHANGE_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time without any notification, not even heartbeats, after which the listener reconnects.
const CHANGE_SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before the listener reconnects after an error.
const CHANGE_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Returns the workspace from the cache or from Postgres, with the budget that applies to it; `None` if the
/// bot is not installed. Must not be called while a transaction is open.
pub(crate) async fn find_workspace(
    state: &ApiState,
    tenant_id: &TenantId,
) -> Result<Option<WorkspaceSnapshot>, DbError> {
    Ok(find_uncapped(state, tenant_id).await?.map(|workspace| cap_budget(state, workspace)))
}

/// Returns the workspace from Postgres, with the budget that applies to it.
pub(crate) async fn find_stored(
    state: &ApiState,
    tenant_id: &TenantId,
) -> Result<Option<WorkspaceSnapshot>, DbError> {
    let stored = db::workspaces::find(&mut state.db.begin(tenant_id).await?, tenant_id).await?;
    Ok(stored.map(|workspace| cap_budget(state, workspace)))
}

/// Applies the operator's ceiling, so that nothing in this service sees a higher budget, or none.
fn cap_budget(state: &ApiState, mut workspace: WorkspaceSnapshot) -> WorkspaceSnapshot {
    let settings = &mut workspace.settings.settings;
    settings.budget_micros = state.budget_ceiling.cap(settings.budget_micros);
    workspace
}

async fn find_uncapped(state: &ApiState, tenant_id: &TenantId) -> Result<Option<WorkspaceSnapshot>, DbError> {
    let (db, cache) = (&state.db, &state.workspace_cache);
    if cache.is_valid() {
        let load = async { db::workspaces::find_sealed(&mut db.begin(tenant_id).await?, tenant_id).await };
        let Some(sealed) = cache.get_or_load(tenant_id, load).await? else { return Ok(None) };
        match db::workspaces::open(db, tenant_id, &sealed).await {
            Ok(workspace) => return Ok(Some(workspace)),
            // Its key was replaced, or a replica of another release stored it.
            Err(error) => tracing::info!(error = %error, "cached workspace does not open"),
        }
        cache.invalidate(tenant_id).await;
    }
    db::workspaces::find(&mut db.begin(tenant_id).await?, tenant_id).await
}

/// Invalidates cached workspaces as changes are committed on any replica. Returns only if this process cannot
/// listen.
pub(crate) async fn watch_changes(state: Arc<ApiState>) {
    let heartbeat = FeedHeartbeat::default();
    let listening = async {
        while let Err(error) = follow_changes(&state, &heartbeat).await {
            tracing::warn!(error = %error, "change listener failed; workspaces are not cached");
            if matches!(error, DbError::NoDirectSession) {
                return;
            }
            sleep(CHANGE_RECONNECT_DELAY).await;
        }
    };
    tokio::select! {
        () = run_heartbeat_loop(&state.db, &heartbeat) => {}
        () = listening => {}
    }
}

async fn follow_changes(state: &ApiState, heartbeat: &FeedHeartbeat) -> Result<(), DbError> {
    let mut changes = ChangeListener::listen(&state.db, heartbeat).await?;
    let cache = &state.workspace_cache;
    cache.invalidate_all().await;
    while let Ok(change) = timeout(CHANGE_SILENCE_TIMEOUT, changes.recv()).await {
        match change? {
            ChangeEvent::Tenant(tenant_id) => cache.invalidate(&tenant_id).await,
            ChangeEvent::All => cache.invalidate_all().await,
            ChangeEvent::Heartbeat(sent_at) => cache.set_valid_until(sent_at + MAX_CACHE_STALENESS),
        }
    }
    Err(DbError::Timeout)
}

/// Sends the heartbeats that the listener must receive. Never returns.
async fn run_heartbeat_loop(db: &Db, heartbeat: &FeedHeartbeat) {
    let mut ticks = interval(CHANGE_HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // After a failure the cache becomes invalid, and the next query reports the error.
        let _ = timeout(CHANGE_HEARTBEAT_TIMEOUT, heartbeat.send(db)).await;
    }
}
