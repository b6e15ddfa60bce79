//! The standing of signed-in people: what Slack said about them last, and how long its word counts.

use std::time::Duration;

use assistant::Standing;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use db::DbError;
use db::audit_log::AuditAction;
use db::sessions::SessionRecord;
use models::{TenantId, UserId};
use serde_json::json;
use slack::{BotAuth, SlackError};
use tokio::time::timeout;

use super::current_user::CurrentUser;
use crate::page::{ActionLink, ErrorPage, render_page};
use crate::routes::responses::database_error;
use crate::state::WebState;

/// A standing that Slack reported is checked again after this time.
const STANDING_RECHECK_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// While Slack does not answer, its last word counts for this time.
const MAX_STANDING_AGE: TimeDelta = TimeDelta::hours(1);

/// A page waits this long for Slack's answer.
const STANDING_LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// A standing could not be found out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandingError {
    #[error(transparent)]
    Slack(#[from] SlackError),
    #[error("users.info: no response within {} s", STANDING_LOOKUP_TIMEOUT.as_secs())]
    Timeout,
    #[error("database error: {0}")]
    Database(#[from] DbError),
}

/// Asks Slack about a person, with the workspace's own token.
///
/// # Errors
/// Slack or the database does not answer at the moment. A refusal is an answer.
pub(crate) async fn ask_slack(
    app: &WebState,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Standing, StandingError> {
    let installed = db::installations::find(&mut app.db.begin(tenant_id).await?, tenant_id).await?;
    let Some(installed) = installed.filter(|installed| installed.disabled_reason.is_none()) else {
        return Ok(Standing::Unconfirmed);
    };
    let bot =
        BotAuth { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, send_guard: None };
    let response = timeout(STANDING_LOOKUP_TIMEOUT, app.slack.fetch_user(&bot, user_id)).await;
    let response = response.map_err(|_| StandingError::Timeout)?;
    Ok(Standing::from_response(&installed.installation, response)?)
}

/// Returns whether what Slack said at this time still counts.
pub(super) fn is_fresh(checked_at: DateTime<Utc>) -> bool {
    Utc::now() - checked_at <= MAX_STANDING_AGE
}

/// Asks Slack again about the person of a session, if it is time. Returns false if the session has ended.
pub(super) async fn recheck(app: &WebState, found: &mut SessionRecord) -> Result<bool, DbError> {
    if Utc::now() - found.session.checked_at <= STANDING_RECHECK_INTERVAL {
        return Ok(true);
    }
    match ask_slack(app, &found.session.tenant_id, &found.session.user_id).await {
        Ok(standing) => store(app, found, standing).await,
        Err(StandingError::Database(error)) => Err(error),
        Err(error) => {
            tracing::warn!(tenant_id = %found.session.tenant_id, error = %error, "standing not checked");
            Ok(true)
        }
    }
}

/// Stores what Slack said in all sessions of the person. Returns false if their sessions have ended. Whoever
/// is no member any more is no manager either.
async fn store(app: &WebState, found: &mut SessionRecord, standing: Standing) -> Result<bool, DbError> {
    let session = &mut found.session;
    let (tenant_id, user_id) = (&session.tenant_id, &session.user_id);
    session.is_admin = standing == Standing::Admin;
    session.checked_at = match standing {
        Standing::Unconfirmed => DateTime::UNIX_EPOCH,
        _ => Utc::now(),
    };
    let mut tx = app.db.begin(tenant_id).await?;
    if standing == Standing::Gone {
        db::sessions::delete_all(&mut tx, tenant_id, user_id).await?;
    } else {
        let (is_admin, checked_at) = (session.is_admin, session.checked_at);
        let key = &app.session_key;
        db::sessions::set_admin(&mut tx, key, tenant_id, user_id, is_admin, checked_at).await?;
    }
    if matches!(standing, Standing::Gone | Standing::Outsider) {
        found.is_named_manager = false;
        if db::managers::delete(&mut tx, tenant_id, user_id).await? {
            let detail = json!({ "user_id": user_id, "reason": "no member of the workspace any more" });
            let action = AuditAction::ManagerRevoked;
            db::audit_log::insert(&mut tx, tenant_id, "enablebot", action, detail).await?;
        }
    }
    tx.commit().await?;
    Ok(standing != Standing::Gone)
}

impl CurrentUser {
    /// Asks Slack right now whether the person still manages the workspace: for what cannot be taken back.
    /// Returns their standing.
    ///
    /// # Errors
    /// The page that says why not.
    pub(crate) async fn confirm_manager(&self, app: &WebState) -> Result<Standing, Response> {
        let session = self.session.clone();
        let standing = match ask_slack(app, &session.tenant_id, &session.user_id).await {
            Ok(standing) => standing,
            Err(StandingError::Database(error)) => return Err(database_error(&error)),
            Err(error) => {
                tracing::warn!(tenant_id = %session.tenant_id, error = %error, "manager not confirmed");
                return Err(slack_unavailable());
            }
        };
        let is_named_manager = async {
            let mut tx = app.db.begin(&session.tenant_id).await?;
            db::managers::contains(&mut tx, &session.tenant_id, &session.user_id).await
        };
        let is_named_manager = is_named_manager.await.map_err(|error| database_error(&error))?;
        let mut found = SessionRecord { session, is_named_manager, suspended_reason: None };
        let is_signed_in = store(app, &mut found, standing).await.map_err(|error| database_error(&error))?;
        match standing {
            Standing::Admin => Ok(standing),
            Standing::Member if found.is_named_manager => Ok(standing),
            _ if is_signed_in => Err(forbidden()),
            _ => Err(Redirect::to("/login").into_response()),
        }
    }
}

/// Builds the page for people who do not manage the workspace.
pub(super) fn forbidden() -> Response {
    let problem = ErrorPage {
        title: "This page is for managers",
        detail: "Only admins and owners of your workspace, and the managers whom they named in the settings, can \
                 open it.",
        next_step: "Ask one of them, or go back to your dashboard. If Slack revoked EnableBot's token, it confirms \
                    nobody: add EnableBot to Slack again.",
        action: Some(ActionLink { href: "/dashboard", label: "Open dashboard" }),
    };
    render_page(StatusCode::FORBIDDEN, &problem)
}

/// Builds the page for an action that Slack has to confirm first, and cannot.
pub(crate) fn slack_unavailable() -> Response {
    let problem = ErrorPage {
        title: "Slack cannot be asked at the moment",
        detail: "Slack has to confirm first that you may do this, and it is not responding. Nothing was done.",
        next_step: "Wait a minute, then try again.",
        action: Some(ActionLink { href: "/dashboard", label: "Open dashboard" }),
    };
    render_page(StatusCode::SERVICE_UNAVAILABLE, &problem)
}
