//! Tokens that rotate: refreshed well before their end, by one replica at a time.
//! Source: <https://docs.slack.dev/authentication/using-token-rotation>

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use db::Tx;
use db::audit_log::Action;
use db::installations::Installed;
use db::tokens::{RefreshLease, Rotation};
use db::workspaces::Workspace;
use models::TenantId;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::failure::Failure;
use crate::workspaces;

/// How long before its end a token is replaced; Slack's tokens live for twelve hours.
pub(crate) const AHEAD: Duration = Duration::from_secs(2 * 60 * 60);

/// A token with less than this is not called with any more.
const MARGIN: TimeDelta = TimeDelta::seconds(30);

/// How long to wait for another replica that refreshes the token just now.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the call may take: with storing its answer it must fit into the refresh lease.
const CALL: Duration = Duration::from_secs(20);

/// Tries to store a new pair: the old one is void by then.
const STORE_TRIES: u32 = 5;

/// The workspace, with a token that can be called with. Only what is plainly good is believed without reading it anew.
pub(crate) async fn find_fresh(app: &App, tenant_id: &TenantId) -> Result<Workspace, Failure> {
    if let Some(kept) = workspaces::find(app, tenant_id).await?
        && kept.installed.disabled_reason.is_none()
        && lives_long(&kept)
    {
        return Ok(kept);
    }
    let begun = Instant::now();
    loop {
        let workspace = find(app, tenant_id).await?;
        let Some(ends) = workspace.installed.token_expires_at else { return Ok(workspace) };
        if lives_long(&workspace) {
            return Ok(workspace);
        }
        let usable = ends - Utc::now() > MARGIN;
        match refresh(app, tenant_id).await {
            // However short its life: it is new.
            Ok(true) => return find(app, tenant_id).await,
            Ok(false) | Err(Failure::Retry { .. } | Failure::Throttled { .. }) if usable => {
                return Ok(workspace);
            }
            Ok(false) if begun.elapsed() > PATIENCE => {
                return Err(Failure::retry("another replica has not refreshed the token yet"));
            }
            Ok(false) => sleep(Duration::from_millis(200)).await,
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the token does not end soon.
fn lives_long(workspace: &Workspace) -> bool {
    let ends = workspace.installed.token_expires_at;
    ends.is_none_or(|ends| ends - Utc::now() > TimeDelta::from_std(AHEAD).unwrap_or(TimeDelta::MAX))
}

/// What is stored.
async fn find(app: &App, tenant_id: &TenantId) -> Result<Workspace, Failure> {
    let mut tx = app.db.begin(tenant_id).await?;
    let workspace = db::workspaces::find(&mut tx, tenant_id)
        .await?
        .ok_or_else(|| Failure::give_up_silently("the workspace has no installation (any more)"))?;
    match &workspace.installed.disabled_reason {
        Some(reason) => {
            Err(Failure::give_up_silently(format!("the token is dead ({reason}): install the bot again")))
        }
        None => Ok(workspace),
    }
}

/// Replaces a tenant's token that is about to end; false where somebody else does, or just did.
pub(crate) async fn refresh(app: &App, tenant_id: &TenantId) -> Result<bool, Failure> {
    let mut tx = app.db.begin(tenant_id).await?;
    let lease = db::tokens::lease_refresh(&mut tx, tenant_id, AHEAD).await?;
    tx.commit().await?;
    let Some(lease) = lease else { return Ok(false) };
    let Some(slack_app) = &app.slack_app else {
        release(app, tenant_id, &lease).await?;
        return Err(Failure::retry("SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are needed to refresh a token"));
    };
    let (id, secret) = (&slack_app.client_id, &slack_app.client_secret);
    let refreshed = timeout(CALL, app.slack.refresh(id, secret, &lease.refresh_token)).await;
    let refreshed = refreshed.map_err(|_| Failure::retry("Slack did not refresh the token in time"))?;
    match refreshed {
        Ok((bot_token, rotation)) => {
            let rotation =
                Rotation { refresh_token: rotation.refresh_token, expires_in: rotation.expires_in };
            store(app, tenant_id, &lease, &bot_token, &rotation).await?;
            Ok(true)
        }
        Err(error) if error.failure() == slack::Failure::DeadToken => {
            disable(app, tenant_id, &error.to_string()).await?;
            Err(Failure::give_up_silently(error))
        }
        Err(error) => {
            release(app, tenant_id, &lease).await?;
            Err(Failure::retry(error))
        }
    }
}

/// The new pair is the only one that is good: it is stored before anybody calls with it.
async fn store(
    app: &App,
    tenant_id: &TenantId,
    lease: &RefreshLease,
    bot_token: &SecretString,
    rotation: &Rotation,
) -> Result<(), Failure> {
    let mut tries = 1;
    loop {
        let stored = async {
            let mut tx = app.db.begin(tenant_id).await?;
            if db::tokens::replace(&mut tx, tenant_id, lease, bot_token, rotation).await? {
                let detail = json!({ "expires_in_seconds": rotation.expires_in.as_secs() });
                db::audit_log::insert(&mut tx, tenant_id, "enablebot", Action::TokenRefreshed, detail)
                    .await?;
            }
            tx.commit().await
        };
        match stored.await {
            Ok(()) => return Ok(()),
            Err(error) if tries < STORE_TRIES => {
                tracing::warn!(tenant_id = %tenant_id, error = %error, "a refreshed token is not stored yet");
                tries += 1;
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn release(app: &App, tenant_id: &TenantId, lease: &RefreshLease) -> Result<(), Failure> {
    let mut tx = app.db.begin(tenant_id).await?;
    db::tokens::release(&mut tx, tenant_id, lease).await?;
    Ok(tx.commit().await?)
}

/// Notes that the token is dead: nothing more is tried until the bot is installed again.
pub(crate) async fn disable(app: &App, tenant_id: &TenantId, reason: &str) -> Result<(), Failure> {
    let mut tx = app.db.begin(tenant_id).await?;
    disable_in(&mut tx, tenant_id, reason).await?;
    Ok(tx.commit().await?)
}

/// The same for the token that was read; false where the workspace has another one by now, or none.
pub(crate) async fn disable_as_read(app: &App, read: &Installed, reason: &str) -> Result<bool, Failure> {
    let tenant_id = &read.installation.tenant_id;
    let mut tx = app.db.begin(tenant_id).await?;
    if !db::installations::is_as_read(&mut tx, tenant_id, read).await? {
        return Ok(false);
    }
    disable_in(&mut tx, tenant_id, reason).await?;
    tx.commit().await?;
    Ok(true)
}

async fn disable_in(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<(), Failure> {
    if db::installations::disable(tx, tenant_id, reason).await? {
        tracing::error!(tenant_id = %tenant_id, error = reason, "the token is dead; only a new install helps");
        let detail = json!({ "reason": reason });
        db::audit_log::insert(tx, tenant_id, "enablebot", Action::Disabled, detail).await?;
    }
    Ok(())
}
