//! The consequences of Slack's errors: for the event, and for the installation.

use std::time::Duration;

use db::installations::StoredInstallation;
use slack::{SlackError, SlackErrorKind};

use crate::job::error::{JobError, SLACK_REJECTED_TEXT};
use crate::state::ApiState;
use crate::token_refresh;

/// Turns an error of Slack into one that the worker can handle. What only an admin can fix is stored for
/// them.
pub(super) async fn classify_slack_error(
    state: &ApiState,
    installed: &StoredInstallation,
    error: JobError,
) -> JobError {
    let JobError::Slack(error) = error else { return error };
    let classified = match error.kind() {
        SlackErrorKind::RateLimited(after) => Ok(JobError::Throttled { reason: error.to_string(), after }),
        SlackErrorKind::Transient => Ok(JobError::retry(&error)),
        SlackErrorKind::InvalidContent | SlackErrorKind::StoppedByUser => {
            Ok(JobError::fatal(&error, SLACK_REJECTED_TEXT))
        }
        SlackErrorKind::ChannelUnavailable => Ok(JobError::fatal_silent(&error)),
        SlackErrorKind::TokenExpired => handle_expired_token(state, installed, &error).await,
        SlackErrorKind::TokenRevoked => handle_revoked_token(state, installed, &error).await,
        SlackErrorKind::AppMisconfigured => store_setup_problem(state, installed, &error).await,
    };
    classified.unwrap_or_else(|failed| failed)
}

/// Marks a rotating token as expired, so that the next try refreshes it. A token that does not rotate is
/// revoked.
async fn handle_expired_token(
    state: &ApiState,
    installed: &StoredInstallation,
    error: &SlackError,
) -> Result<JobError, JobError> {
    let retry_now = JobError::Retry { reason: error.to_string(), after: Some(Duration::ZERO) };
    let Some(expires_at) = installed.token_expires_at else {
        handle_revoked_token(state, installed, error).await?;
        return Ok(retry_now);
    };
    let tenant_id = &installed.installation.tenant_id;
    let mut tx = state.db.begin(tenant_id).await?;
    db::tokens::expire(&mut tx, tenant_id, Some(expires_at)).await?;
    tx.commit().await?;
    // The next try may start before the notification arrives.
    state.workspace_cache.invalidate(tenant_id).await;
    Ok(retry_now)
}

/// Disables the installation, unless it has a new token by now: only the one that was used is revoked.
async fn handle_revoked_token(
    state: &ApiState,
    installed: &StoredInstallation,
    error: &SlackError,
) -> Result<JobError, JobError> {
    if token_refresh::disable_if_unchanged(&state.db, installed, &error.to_string()).await? {
        return Ok(JobError::fatal_silent(error));
    }
    state.workspace_cache.invalidate(&installed.installation.tenant_id).await;
    Err(JobError::retry("Slack refused the token, which was replaced in the meantime"))
}

async fn store_setup_problem(
    state: &ApiState,
    installed: &StoredInstallation,
    error: &SlackError,
) -> Result<JobError, JobError> {
    tracing::error!(error = %error, "slack app misconfigured; an admin can fix it");
    let tenant_id = &installed.installation.tenant_id;
    let mut tx = state.db.begin(tenant_id).await?;
    db::installations::set_problem(&mut tx, tenant_id, &error.to_string()).await?;
    tx.commit().await?;
    Ok(JobError::fatal_silent(error))
}
