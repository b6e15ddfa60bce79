//! What a workspace is and how it wants its bot: kept from one answer to the next (`cache`), sealed, while this process hears
//! of every change; else read anew.

use std::sync::Arc;
use std::time::Duration;

use db::changes::{Change, Changes, Echo};
use db::workspaces::Workspace;
use db::{Db, DbError};
use models::TenantId;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::app::App;

/// What is kept is believed for so long after a moment up to which every change was heard of: longer than that nobody
/// answers by what an admin has changed, even where the session is dead and does not say so.
const TRUST: Duration = Duration::from_millis(900);

/// Between two looks at whether changes are heard.
const LOOK: Duration = Duration::from_millis(300);

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A session that heard nothing for so long, not even the looks, is opened anew.
const SILENCE: Duration = Duration::from_secs(10);

/// Before a session that failed is opened anew.
const PAUSE: Duration = Duration::from_secs(1);

/// A workspace in which the bot is installed: as it is kept, else as it is stored. Asked outside of a transaction.
pub(crate) async fn find(app: &App, tenant_id: &TenantId) -> Result<Option<Workspace>, DbError> {
    if app.workspaces.is_trusted() {
        let load =
            async { db::workspaces::find_sealed(&mut app.db.begin(tenant_id).await?, tenant_id).await };
        let Some(sealed) = app.workspaces.find(tenant_id, load).await? else { return Ok(None) };
        match db::workspaces::open(&app.db, tenant_id, &sealed).await {
            Ok(workspace) => return Ok(Some(workspace)),
            // Its key was replaced, or a replica of another release has kept it.
            Err(error) => tracing::info!(error = %error, "what was kept of a workspace does not open"),
        }
        app.workspaces.forget(tenant_id).await;
    }
    db::workspaces::find(&mut app.db.begin(tenant_id).await?, tenant_id).await
}

/// Forgets what changes, on every replica as it is committed; returns only where that can never be heard.
pub(crate) async fn hear(app: Arc<App>) {
    let echo = Echo::default();
    let listening = async {
        while let Err(error) = listen(&app, &echo).await {
            tracing::warn!(error = %error, "no session hears of changes: workspaces are read for each answer");
            if matches!(error, DbError::NoSession) {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = look(&app.db, &echo) => {}
        () = listening => {}
    }
}

async fn listen(app: &App, echo: &Echo) -> Result<(), DbError> {
    let mut changes = Changes::listen(&app.db, echo).await?;
    app.workspaces.forget_all().await;
    while let Ok(change) = timeout(SILENCE, changes.heard()).await {
        match change? {
            Change::Of(tenant_id) => app.workspaces.forget(&tenant_id).await,
            Change::Any => app.workspaces.forget_all().await,
            Change::Echo(said_at) => app.workspaces.trust_until(said_at + TRUST),
        }
    }
    Err(DbError::Silent)
}

/// Says something again and again, which has to be heard.
async fn look(db: &Db, echo: &Echo) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // Where it fails, what is kept is not believed; whoever reads finds out why.
        let _ = timeout(PATIENCE, echo.say(db)).await;
    }
}
