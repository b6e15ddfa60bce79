//! Refreshes rotating tokens well before they expire, on one replica at a time.
//! Source: <https://docs.slack.dev/authentication/using-token-rotation>

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use db::audit_log::AuditAction;
use db::installations::StoredInstallation;
use db::tokens::{RefreshLease, RefreshTokenGrant};
use db::workspaces::WorkspaceSnapshot;
use db::{Db, DbError, Tx};
use models::TenantId;
use secrecy::SecretString;
use serde_json::json;
use slack::{BotAuth, SlackErrorKind};
use tokio::time::{sleep, timeout};

use crate::job::error::JobError;
use crate::state::ApiState;
use crate::workspace_loader;

/// The remaining lifetime at which a token is refreshed. Slack's tokens live for twelve hours.
pub(crate) const TOKEN_REFRESH_AHEAD: Duration = Duration::from_secs(2 * 60 * 60);

/// The remaining lifetime below which a token is not used.
const MIN_TOKEN_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// The time to wait for another replica that is refreshing the token.
const REFRESH_WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that the call may take. Together with storing the result it must fit into the refresh lease.
const REFRESH_CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Attempts to store a new pair. By then the old one is invalid.
const MAX_STORE_ATTEMPTS: u32 = 5;

/// Returns the workspace with a token that works. A cached token is used only if it is valid for a long time;
/// otherwise the stored one is read.
pub(crate) async fn load_with_valid_token(
    state: &ApiState,
    tenant_id: &TenantId,
) -> Result<WorkspaceSnapshot, JobError> {
    if let Some(cached) = workspace_loader::find_workspace(state, tenant_id).await?
        && cached.installed.disabled_reason.is_none()
        && has_long_lifetime(&cached)
    {
        return Ok(cached);
    }
    let started = Instant::now();
    loop {
        let workspace = load_stored(state, tenant_id).await?;
        let Some(expires_at) = workspace.installed.token_expires_at else { return Ok(workspace) };
        if has_long_lifetime(&workspace) {
            return Ok(workspace);
        }
        let is_usable = expires_at - Utc::now() > MIN_TOKEN_LIFETIME;
        match refresh(state, tenant_id).await {
            // It is used however short its lifetime is.
            Ok(true) => return load_stored(state, tenant_id).await,
            Ok(false) | Err(JobError::Retry { .. } | JobError::Throttled { .. }) if is_usable => {
                return Ok(workspace);
            }
            Ok(false) if started.elapsed() > REFRESH_WAIT_TIMEOUT => {
                return Err(JobError::retry("the token is still being refreshed by another replica"));
            }
            Ok(false) => sleep(Duration::from_millis(200)).await,
            Err(failure) => return Err(failure),
        }
    }
}

/// Returns the bot's credentials for calls that need no lease on a thread.
pub(crate) fn unguarded_bot(workspace: &WorkspaceSnapshot) -> BotAuth {
    let installed = &workspace.installed;
    BotAuth {
        tenant_id: installed.installation.tenant_id.clone(),
        token: installed.bot_token.clone(),
        team_id: None,
        send_guard: None,
    }
}

/// Returns whether the token does not expire soon.
fn has_long_lifetime(workspace: &WorkspaceSnapshot) -> bool {
    workspace.installed.token_expires_at.is_none_or(|expires_at| {
        expires_at - Utc::now() > TimeDelta::from_std(TOKEN_REFRESH_AHEAD).unwrap_or(TimeDelta::MAX)
    })
}

/// Reads the workspace from Postgres.
async fn load_stored(state: &ApiState, tenant_id: &TenantId) -> Result<WorkspaceSnapshot, JobError> {
    let workspace = workspace_loader::find_stored(state, tenant_id)
        .await?
        .ok_or_else(|| JobError::fatal_silent("the bot is not installed"))?;
    match &workspace.installed.disabled_reason {
        Some(reason) => {
            Err(JobError::fatal_silent(format!("the token was revoked ({reason}); reinstall the bot")))
        }
        None => Ok(workspace),
    }
}

/// Refreshes a token that is about to expire. Returns false if another replica is doing so or just did.
pub(crate) async fn refresh(state: &ApiState, tenant_id: &TenantId) -> Result<bool, JobError> {
    let mut tx = state.db.begin(tenant_id).await?;
    let lease = db::tokens::acquire_refresh_lease(&mut tx, tenant_id, TOKEN_REFRESH_AHEAD).await?;
    tx.commit().await?;
    let Some(lease) = lease else { return Ok(false) };
    let Some(slack_app) = &state.slack_app else {
        release_refresh_lease(&state.db, tenant_id, &lease).await?;
        return Err(JobError::retry(
            "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are required to refresh a token",
        ));
    };
    let (id, secret) = (&slack_app.client_id, &slack_app.client_secret);
    let refreshed =
        timeout(REFRESH_CALL_TIMEOUT, state.slack.refresh_bot_token(id, secret, &lease.refresh_token)).await;
    let refreshed = refreshed.map_err(|_| JobError::retry("Slack did not refresh the token in time"))?;
    match refreshed {
        Ok((bot_token, rotation)) => {
            let rotation =
                RefreshTokenGrant { refresh_token: rotation.refresh_token, expires_in: rotation.expires_in };
            store_token_pair(&state.db, tenant_id, &lease, &bot_token, &rotation).await?;
            Ok(true)
        }
        Err(error) if error.kind() == SlackErrorKind::TokenRevoked => {
            disable(&state.db, tenant_id, &error.to_string()).await?;
            Err(JobError::fatal_silent(error))
        }
        Err(error) => {
            release_refresh_lease(&state.db, tenant_id, &lease).await?;
            Err(JobError::retry(error))
        }
    }
}

/// Stores the new pair before it is used: it is the only valid one.
async fn store_token_pair(
    db: &Db,
    tenant_id: &TenantId,
    lease: &RefreshLease,
    bot_token: &SecretString,
    rotation: &RefreshTokenGrant,
) -> Result<(), JobError> {
    let mut attempt = 1;
    loop {
        let stored = async {
            let mut tx = db.begin(tenant_id).await?;
            if db::tokens::replace(&mut tx, tenant_id, lease, bot_token, rotation).await? {
                let detail = json!({ "expires_in_seconds": rotation.expires_in.as_secs() });
                db::audit_log::insert(&mut tx, tenant_id, "enablebot", AuditAction::TokenRefreshed, detail)
                    .await?;
            }
            tx.commit().await
        };
        match stored.await {
            Ok(()) => return Ok(()),
            Err(error) if attempt < MAX_STORE_ATTEMPTS => {
                tracing::warn!(tenant_id = %tenant_id, error = %error, "refreshed token not stored yet");
                attempt += 1;
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn release_refresh_lease(db: &Db, tenant_id: &TenantId, lease: &RefreshLease) -> Result<(), JobError> {
    let mut tx = db.begin(tenant_id).await?;
    db::tokens::release(&mut tx, tenant_id, lease).await?;
    Ok(tx.commit().await?)
}

/// Disables the installation: its token was revoked, and nothing is tried until the bot is installed again.
pub(crate) async fn disable(db: &Db, tenant_id: &TenantId, reason: &str) -> Result<(), JobError> {
    let mut tx = db.begin(tenant_id).await?;
    disable_in_tx(&mut tx, tenant_id, reason).await?;
    Ok(tx.commit().await?)
}

/// Disables the installation that was read. Returns false if the workspace has another token by now, or none.
pub(crate) async fn disable_if_unchanged(
    db: &Db,
    read: &StoredInstallation,
    reason: &str,
) -> Result<bool, JobError> {
    let tenant_id = &read.installation.tenant_id;
    let mut tx = db.begin(tenant_id).await?;
    if !db::installations::is_unchanged(&mut tx, tenant_id, read).await? {
        return Ok(false);
    }
    disable_in_tx(&mut tx, tenant_id, reason).await?;
    tx.commit().await?;
    Ok(true)
}

async fn disable_in_tx(tx: &mut Tx, tenant_id: &TenantId, reason: &str) -> Result<(), DbError> {
    if db::installations::disable(tx, tenant_id, reason).await? {
        tracing::error!(tenant_id = %tenant_id, error = reason, "token revoked; the bot must be reinstalled");
        let detail = json!({ "reason": reason });
        db::audit_log::insert(tx, tenant_id, "enablebot", AuditAction::Disabled, detail).await?;
    }
    Ok(())
}
