//! `GET /slack/oauth/callback`: completes an install.

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
use slack::OAuthGrant;

use super::INSTALL_COOKIE;
use super::failure::{InstallFailure, render_failure};
use crate::auth::cookies::cookie_name;
use crate::auth::secrets::digest;
use crate::page::{InstalledPage, render_page};
use crate::state::WebState;

/// Query of Slack's redirects, after an install and after a sign-in.
#[derive(Default, Deserialize)]
pub(crate) struct OAuthCallback {
    pub(in crate::routes) code: Option<SecretString>,
    pub(in crate::routes) state: Option<String>,
    pub(in crate::routes) error: Option<String>,
}

pub(crate) async fn handle_callback(
    State(app): State<Arc<WebState>>,
    cookies: CookieJar,
    callback: Result<Query<OAuthCallback>, QueryRejection>,
) -> Response {
    let callback = callback.map(|Query(callback)| callback).unwrap_or_default();
    match complete_install(&app, &cookies, callback).await {
        Ok((grant, suspended_reason)) => {
            let installation = &grant.installation;
            tracing::info!(tenant_id = %installation.tenant_id, user_id = %installation.installed_by, "installed");
            metrics::counter!("enablebot_installs_total", "result" => "installed").increment(1);
            let installed = InstalledPage {
                workspace: installation.name.clone(),
                open_url: open_url(&app.slack_base_url, installation),
                is_org_wide: installation.team_id.is_none(),
                suspended_reason,
            };
            render_page(StatusCode::OK, &installed)
        }
        Err(refusal) => render_failure(refusal),
    }
}

/// Returns the address of the next step: the workspace, or the organisation's list of workspaces.
///
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

/// Installs, and returns the reason if an operator has suspended the workspace.
async fn complete_install(
    app: &WebState,
    cookies: &CookieJar,
    callback: OAuthCallback,
) -> Result<(OAuthGrant, Option<String>), InstallFailure> {
    consume_state(app, cookies, callback.state.as_deref()).await?;
    let code = match (callback.error, callback.code) {
        (None, Some(code)) => code,
        _ => return Err(InstallFailure::Denied),
    };
    let grant = app.slack.exchange_code(&app.slack_app, &code).await?;
    let Installation { team_id, enterprise_id, tenant_id, .. } = &grant.installation;
    if !app.allowed_teams.contains(team_id.as_ref(), enterprise_id.as_ref()) {
        return Err(InstallFailure::NotAllowed(tenant_id.clone()));
    }
    let suspended_reason = store_installation(app, &grant).await?;
    Ok((grant, suspended_reason))
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
    let browser = cookies.get(&cookie_name(app, INSTALL_COOKIE)).map(|cookie| digest(cookie.value()));
    if browser.is_some() && browser == browser_digest { Ok(()) } else { Err(InstallFailure::BadState) }
}

/// Stores the installation, its audit entry and the welcome message in one transaction. Returns the reason if
/// the workspace is suspended, also from before its data was deleted.
async fn store_installation(app: &WebState, grant: &OAuthGrant) -> Result<Option<String>, DbError> {
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
    // An organisation's installation cannot message anyone until it is added to a workspace.
    if installation.team_id.is_some() {
        db::event_inbox::append(&mut tx, &welcome).await?;
    }
    let suspended_reason = db::tenants::find_suspension(&mut tx, tenant_id).await?;
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::Installed, detail).await?;
    tx.commit().await?;
    Ok(suspended_reason)
}
