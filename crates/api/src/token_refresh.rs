//! Tokens that rotate: refreshed well before their end, by one replica at a time.
//! Source: <https://docs.slack.dev/authentication/using-token-rotation>

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use db::Tx;
use db::audit_log::AuditAction;
use db::installations::StoredInstallation;
use db::tokens::{RefreshLease, RefreshTokenGrant};
use db::workspaces::WorkspaceSnapshot;
use models::TenantId;
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::job_error::JobError;
use crate::state::ApiState;
use crate::workspace_loader;

/// How long before its end a token is replaced; Slack's tokens live for twelve hours.
pub(crate) const TOKEN_REFRESH_AHEAD: Duration = Duration::from_secs(2 * 60 * 60);

/// A token with less than this is not called with any more.
const MIN_TOKEN_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// How long to wait for another replica that refreshes the token just now.
const REFRESH_WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the call may take: with storing its answer it must fit into the refresh lease.
const REFRESH_CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Tries to store a new pair: the old one is void by then.
const MAX_STORE_ATTEMPTS: u32 = 5;

/// The workspace, with a token that can be called with. Only what is plainly good is believed without reading it anew.
pub(crate) async fn load_with_valid_token(
    app: &ApiState,
    tenant_id: &TenantId,
) -> Result<WorkspaceSnapshot, JobError> {
    if let Some(kept) = workspace_loader::find_workspace(app, tenant_id).await?
        && kept.installed.disabled_reason.is_none()
        && has_long_lifetime(&kept)
    {
        return Ok(kept);
    }
    let begun = Instant::now();
    loop {
        let workspace = load_stored(app, tenant_id).await?;
        let Some(ends) = workspace.installed.token_expires_at else { return Ok(workspace) };
        if has_long_lifetime(&workspace) {
            return Ok(workspace);
        }
        let usable = ends - Utc::now() > MIN_TOKEN_LIFETIME;
        match refresh(app, tenant_id).await {
            // However short its life: it is new.
            Ok(true) => return load_stored(app, tenant_id).await,
            Ok(false) | Err(JobError::Retry { .. } | JobError::Throttled { .. }) if usable => {
                return Ok(workspace);
            }
            Ok(false) if begun.elapsed() > REFRESH_WAIT_TIMEOUT => {
                return Err(JobError::retry("another replica has not refreshed the token yet"));
            }
            Ok(false) => sleep(Duration::from_millis(200)).await,
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the token does not end soon.
fn has_long_lifetime(workspace: &WorkspaceSnapshot) -> bool {
    let ends = workspace.installed.token_expires_at;
    ends.is_none_or(|ends| {
        ends - Utc::now() > TimeDelta::from_std(TOKEN_REFRESH_AHEAD).unwrap_or(TimeDelta::MAX)
    })
}

/// What is stored.
async fn load_stored(app: &ApiState, tenant_id: &TenantId) -> Result<WorkspaceSnapshot, JobError> {
    let mut tx = app.db.begin(tenant_id).await?;
    let workspace = db::workspaces::find(&mut tx, tenant_id)
        .await?
        .ok_or_else(|| JobError::fatal_silent("the workspace has no installation (any more)"))?;
    match &workspace.installed.disabled_reason {
        Some(reason) => {
            Err(JobError::fatal_silent(format!("the token is dead ({reason}): install the bot again")))
        }
        None => Ok(workspace),
    }
}

/// Replaces a tenant's token that is about to end; false where somebody else does, or just did.
pub(crate) async fn refresh(app: &ApiState, tenant_id: &TenantId) -> Result<bool, JobError> {
    let mut tx = app.db.begin(tenant_id).await?;
    let lease = db::tokens::acquire_refresh_lease(&mut tx, tenant_id, TOKEN_REFRESH_AHEAD).await?;
    tx.commit().await?;
    let Some(lease) = lease else { return Ok(false) };
    let Some(slack_app) = &app.slack_app else {
        release_refresh_lease(app, tenant_id, &lease).await?;
        return Err(JobError::retry("SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are needed to refresh a token"));
    };
    let (id, secret) = (&slack_app.client_id, &slack_app.client_secret);
    let refreshed =
        timeout(REFRESH_CALL_TIMEOUT, app.slack.refresh_bot_token(id, secret, &lease.refresh_token)).await;
    let refreshed = refreshed.map_err(|_| JobError::retry("Slack did not refresh the token in time"))?;
    match refreshed {
        Ok((bot_token, rotation)) => {
            let rotation =
                RefreshTokenGrant { refresh_token: rotation.refresh_token, expires_in: rotation.expires_in };
            store_token_pair(app, tenant_id, &lease, &bot_token, &rotation).await?;
            Ok(true)
        }
        Err(error) if error.kind() == slack::SlackErrorKind::TokenRevoked => {
            disable(app, tenant_id, &error.to_string()).await?;
            Err(JobError::fatal_silent(error))
        }
        Err(error) => {
            release_refresh_lease(app, tenant_id, &lease).await?;
            Err(JobError::retry(error))
        }
    }
}

/// The new pair is the only one that is good: it is stored before anybody calls with it.
async fn store_token_pair(
    app: &ApiState,
    tenant_id: &TenantId,
    lease: &RefreshLease,
    bot_token: &SecretString,
    rotation: &RefreshTokenGrant,
) -> Result<(), JobError> {
    let mut tries = 1;
    loop {
        let stored = async {
            let mut tx = app.db.begin(tenant_id).await?;
            if db::tokens::replace(&mut tx, tenant_id, lease, bot_token, rotation).await? {
                let detail = json!({ "expires_in_seconds": rotation.expires_in.as_secs() });
                db::audit_log::insert(&mut tx, tenant_id, "enablebot", AuditAction::TokenRefreshed, detail)
                    .await?;
            }
            tx.commit().await
        };
        match stored.await {
            Ok(()) => return Ok(()),
            Err(error) if tries < MAX_STORE_ATTEMPTS => {
                tracing::warn!(tenant_id = %tenant_id, error = %error, "a refreshed token is not stored yet");
                tries += 1;
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn release_refresh_lease(
    app: &ApiState,
    tenant_id: &TenantId,
    lease: &RefreshLease,
) -> Result<(), JobError> {
    let mut tx = app.db.begin(tenant_id).await?;
    db::tokens::release(&mut tx, tenant_id, lease).await?;
    Ok(tx.commit().await?)
}

/// Notes that the token is dead: nothing more is tried until the bot is installed again.
pub(crate) async fn disable(app: &ApiState, tenant_id: &TenantId, reason: &str) -> Result<(), JobError> {
    let mut tx = app.db.begin(tenant_id).await?;
    disable_in_tx(&mut tx, tenant_id, reason).await?;
    Ok(tx.commit().await?)
}

/// The same for the token that was read; false where the workspace has another one by now, or none.
pub(crate) async fn disable_if_unchanged(
    app: &ApiState,
    read: &StoredInstallation,
    reason: &str,
) -> Result<bool, JobError> {
    let tenant_id = &read.installation.tenant_id;
    let mut tx = app.db.begin(tenant_id).await?;
    if !db::installations::is_unchanged(&mut tx, tenant_id, read).await? {
        return Ok(false);
    }
    disable_in_tx(&mut tx, tenant_id, reason).await?;
    tx.commit().await?;
    Ok(true)
}

async fn disable_in_tx(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<(), JobError> {
    if db::installations::disable(tx, tenant_id, reason).await? {
        tracing::error!(tenant_id = %tenant_id, error = reason, "the token is dead; only a new install helps");
        let detail = json!({ "reason": reason });
        db::audit_log::insert(tx, tenant_id, "enablebot", AuditAction::Disabled, detail).await?;
    }
    Ok(())
}
