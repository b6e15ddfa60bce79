//! `GET /slack/oauth/callback`: back from Slack. The state is used up first; what is stored is stored as a whole.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use db::DbError;
use db::audit_log::AuditAction;
use db::tokens::RefreshTokenGrant;
use models::{EventId, EventPayload, InboundEvent, Installation};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use slack::{OAuthGrant, SlackError};

use super::install::INSTALL_COOKIE;
use crate::page::{ActionLink, ErrorPage, InstalledPage, render_page};
use crate::secrets::digest;
use crate::state::WebState;

/// The values of the label of `enablebot_installs_total`.
pub(crate) const INSTALL_RESULTS: [&str; 6] =
    ["installed", "denied", "bad_state", "bad_code", "slack_unavailable", "database_unavailable"];

/// What Slack sends the browser back with, from an install and from a sign-in.
#[derive(Default, Deserialize)]
pub(crate) struct OAuthCallback {
    pub(super) code: Option<SecretString>,
    pub(super) state: Option<String>,
    pub(super) error: Option<String>,
}

/// Why an install came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallFailure {
    #[error("the install was cancelled in Slack")]
    Denied,
    #[error("the state is missing, unknown, used, too old, or another browser's")]
    BadState,
    #[error("Slack did not take the code: {0}")]
    BadCode(SlackError),
    #[error("Slack cannot be reached: {0}")]
    SlackUnavailable(SlackError),
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbError),
}

impl From<SlackError> for InstallFailure {
    fn from(error: SlackError) -> Self {
        match error {
            SlackError::Api { .. } => Self::BadCode(error),
            error => Self::SlackUnavailable(error),
        }
    }
}

pub(crate) async fn handle_callback(
    State(app): State<Arc<WebState>>,
    cookies: CookieJar,
    callback: Result<Query<OAuthCallback>, QueryRejection>,
) -> Response {
    let callback = callback.map(|Query(callback)| callback).unwrap_or_default();
    match complete_install(&app, &cookies, callback).await {
        Ok(grant) => {
            let installation = &grant.installation;
            tracing::info!(tenant_id = %installation.tenant_id, user_id = %installation.installed_by, "installed");
            metrics::counter!("enablebot_installs_total", "result" => "installed").increment(1);
            let installed = InstalledPage {
                workspace: installation.name.clone(),
                open_url: open_url(&app.slack_base_url, installation),
                is_org_wide: installation.team_id.is_none(),
            };
            render_page(StatusCode::OK, &installed)
        }
        Err(refusal) => render_failure(refusal),
    }
}

/// Where the next step is taken: in the workspace, or in the organisation's list of them.
/// Source: <https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>
fn open_url(slack: &str, installation: &Installation) -> String {
    let (tenant_id, app_id) = (&installation.tenant_id, &installation.app_id);
    match &installation.team_id {
        Some(_) => format!("{slack}/app_redirect?app={app_id}&team={tenant_id}"),
        None => {
            let app = slack.replacen("://", "://app.", 1);
            format!("{app}/manage/{tenant_id}/integrations/profile/{app_id}/workspaces/add")
        }
    }
}

async fn complete_install(
    app: &WebState,
    cookies: &CookieJar,
    callback: OAuthCallback,
) -> Result<OAuthGrant, InstallFailure> {
    consume_state(app, cookies, callback.state.as_deref()).await?;
    let code = match (callback.error, callback.code) {
        (None, Some(code)) => code,
        _ => return Err(InstallFailure::Denied),
    };
    let grant = app.slack.exchange_code(&app.slack_app, &code).await?;
    store_installation(app, &grant).await?;
    Ok(grant)
}

async fn consume_state(
    app: &WebState,
    cookies: &CookieJar,
    state: Option<&str>,
) -> Result<(), InstallFailure> {
    let state = state.ok_or(InstallFailure::BadState)?;
    let mut tx = app.db.begin_cross_tenant().await?;
    let browser_digest = db::oauth_states::consume(&mut tx, &digest(state)).await?;
    tx.commit().await?;
    let browser = cookies.get(INSTALL_COOKIE).map(|cookie| digest(cookie.value()));
    if browser.is_some() && browser == browser_digest { Ok(()) } else { Err(InstallFailure::BadState) }
}

/// The installation, the audit entry and the first message to the installer, or none of them.
async fn store_installation(app: &WebState, grant: &OAuthGrant) -> Result<(), DbError> {
    let installation = &grant.installation;
    let mut welcome = InboundEvent::system_event(
        installation.tenant_id.clone(),
        EventId::new(format!("welcome-{}", uuid::Uuid::now_v7())),
        Some(installation.installed_by.clone()),
        EventPayload::Welcome,
    );
    welcome.traceparent = service::current_traceparent();
    let rotation = grant.rotation.as_ref().map(|rotation| RefreshTokenGrant {
        refresh_token: rotation.refresh_token.clone(),
        expires_in: rotation.expires_in,
    });
    let detail = json!({ "app_id": installation.app_id, "scopes": installation.scopes });
    let (tenant_id, actor) = (&installation.tenant_id, installation.installed_by.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    db::installations::upsert(&mut tx, installation, &grant.bot_token, rotation.as_ref()).await?;
    // An organisation's install may write to nobody until it is let into a workspace.
    if installation.team_id.is_some() {
        db::event_inbox::append(&mut tx, &welcome).await?;
    }
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::Installed, detail).await?;
    tx.commit().await
}

/// The page for an install that came to nothing; the detail goes to the log.
pub(super) fn render_failure(refusal: InstallFailure) -> Response {
    let (status, result, title, what, next) = match &refusal {
        InstallFailure::Denied => (
            StatusCode::FORBIDDEN,
            "denied",
            "The install was cancelled",
            "Slack says that the request was not approved. Nothing was installed and nothing was stored.",
            "If that was not meant, begin again. Some workspaces let only admins approve apps.",
        ),
        InstallFailure::BadState => (
            StatusCode::BAD_REQUEST,
            "bad_state",
            "This install link is no longer good",
            "A link from Slack is good once, for ten minutes, and only in the browser that began the install. Nothing was stored.",
            "Begin again in this browser, with cookies allowed.",
        ),
        InstallFailure::BadCode(_) => (
            StatusCode::BAD_REQUEST,
            "bad_code",
            "Slack did not confirm the install",
            "Slack did not take the code that your browser brought back; it may have been used already. Nothing was stored.",
            "Begin again. If it happens twice, whoever runs this server finds the reason in its log.",
        ),
        InstallFailure::SlackUnavailable(_) => (
            StatusCode::BAD_GATEWAY,
            "slack_unavailable",
            "Slack does not answer",
            "The install could not be confirmed with Slack. Nothing was stored.",
            "Wait a minute, then begin again.",
        ),
        InstallFailure::Database(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "The database does not answer",
            "The install could not be stored, so nothing was.",
            "Wait a minute, then begin again. If it goes on, tell whoever runs this server.",
        ),
    };
    tracing::warn!(error = %refusal, "an install came to nothing");
    metrics::counter!("enablebot_installs_total", "result" => result).increment(1);
    let action = Some(ActionLink { href: "/slack/install", label: "Begin again" });
    render_page(status, &ErrorPage { title, detail: what, next_step: next, action })
}
