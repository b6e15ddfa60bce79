//! Whoever is signed in: trust in a cookie starts here.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use chrono::{TimeDelta, Utc};
use db::DbError;
use db::sessions::DashboardSession;
use models::{TenantId, UserId};
use secrecy::{ExposeSecret, SecretString};
use slack::{BotAuth, SlackError};

use crate::page::{ActionLink, ErrorPage, render_page};
use crate::read_your_writes;
use crate::routes::{database_error, not_found};
use crate::secrets::digest;
use crate::state::WebState;

/// How long Slack's word on who is an admin counts.
const ROLE_RECHECK_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// Somebody who is signed in, and what they may do.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser {
    pub(crate) session: DashboardSession,
    /// Admins and owners of the workspace, and whoever installed the bot.
    pub(crate) is_admin: bool,
    /// Whoever looks after all workspaces.
    pub(crate) is_operator: bool,
    /// Why the workspace's questions are not answered, if an operator suspended it.
    pub(crate) suspended_reason: Option<String>,
    digest: Vec<u8>,
    /// Until when the primary is asked for them.
    pub(crate) read_primary_until: Option<Instant>,
    /// How old what they see is, in seconds, once something was read.
    pub(crate) data_age_seconds: OnceLock<u64>,
}

/// Somebody who manages the workspace.
#[derive(Clone, Debug)]
pub(crate) struct WorkspaceAdmin(pub(crate) CurrentUser);

/// Somebody who looks after all workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Operator(pub(crate) CurrentUser);

/// A page of the dashboard: its address, its name among the templates, and what people read.
type NavEntry = (&'static str, &'static str, &'static str);

const MEMBER_PAGES: [NavEntry; 3] = [
    ("/dashboard", "overview", "Overview"),
    ("/dashboard/conversations", "conversations", "Conversations"),
    ("/dashboard/events", "events", "Events"),
];

const ADMIN_PAGES: [NavEntry; 6] = [
    ("/dashboard/people", "people", "People"),
    ("/dashboard/settings", "settings", "Settings"),
    ("/dashboard/api-keys", "api_keys", "API keys"),
    ("/dashboard/health", "health", "Health"),
    ("/dashboard/audit", "audit", "Audit log"),
    ("/dashboard/data", "data", "Data"),
];

const PROFILE_PAGE: NavEntry = ("/dashboard/people/me", "me", "About me");

const OPERATOR_PAGES: [NavEntry; 1] = [("/operators", "operators", "Operators")];

impl CurrentUser {
    /// The pages that they may open.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &'static NavEntry> {
        let managers = ADMIN_PAGES.iter().filter(|_| self.is_admin);
        let operators = OPERATOR_PAGES.iter().filter(|_| self.is_operator);
        MEMBER_PAGES.iter().chain(managers).chain([&PROFILE_PAGE]).chain(operators)
    }
}

impl FromRequestParts<Arc<WebState>> for CurrentUser {
    type Rejection = Response;

    /// Without a session the way leads to the sign-in, and back here.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        let cookies = CookieJar::from_headers(&parts.headers);
        let found = match cookies.get(cookie_name(app)).map(|cookie| digest(cookie.value())) {
            Some(digest) => find_current_user(app, digest).await.map_err(|error| database_error(&error))?,
            None => None,
        };
        let changed_until = read_your_writes::read_primary_until(&cookies);
        found.map(|found| Self { read_primary_until: changed_until, ..found }).ok_or_else(|| {
            let wanted = parts.uri.path_and_query().map_or("/dashboard", |wanted| wanted.as_str());
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            Redirect::to(&format!("/login?{}", query.append_pair("next", wanted).finish())).into_response()
        })
    }
}

impl FromRequestParts<Arc<WebState>> for WorkspaceAdmin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        let signed_in = CurrentUser::from_request_parts(parts, app).await?;
        if signed_in.is_admin { Ok(Self(signed_in)) } else { Err(forbidden()) }
    }
}

impl FromRequestParts<Arc<WebState>> for Operator {
    type Rejection = Response;

    /// For others, and where there are none, the page is not there.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        if app.operators.is_empty() {
            return Err(not_found().await);
        }
        let signed_in = CurrentUser::from_request_parts(parts, app).await?;
        if signed_in.is_operator { Ok(Self(signed_in)) } else { Err(not_found().await) }
    }
}

async fn find_current_user(app: &WebState, digest: Vec<u8>) -> Result<Option<CurrentUser>, DbError> {
    let Some(mut found) = app.session_loader.load(digest.clone()).await? else { return Ok(None) };
    let session = &mut found.session;
    if Utc::now() - session.checked_at > ROLE_RECHECK_INTERVAL {
        // While Slack does not answer its last word counts.
        match fetch_slack_role(app, &session.tenant_id, &session.user_id).await {
            Ok(SlackRole::Deactivated) => {
                let mut tx = app.db.begin(&session.tenant_id).await?;
                db::sessions::delete_all(&mut tx, &session.tenant_id, &session.user_id).await?;
                tx.commit().await?;
                return Ok(None);
            }
            Ok(standing) => {
                session.is_admin = standing == SlackRole::Admin;
                let mut tx = app.db.begin(&session.tenant_id).await?;
                db::sessions::set_admin(&mut tx, &session.tenant_id, &session.user_id, session.is_admin)
                    .await?;
                tx.commit().await?;
            }
            Err(_) => {}
        }
    }
    let manages = found.session.is_admin || found.is_installer;
    let is_operator = app.operators.contains(&found.session);
    let (session, suspended_reason) = (found.session, found.suspended_reason);
    Ok(Some(CurrentUser {
        session,
        is_admin: manages,
        is_operator,
        suspended_reason,
        digest,
        read_primary_until: None,
        data_age_seconds: OnceLock::new(),
    }))
}

/// What somebody is in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlackRole {
    Admin,
    Member,
    /// Their account is deactivated.
    Deactivated,
}

/// Asks Slack, with the workspace's own token.
pub(crate) async fn fetch_slack_role(
    app: &WebState,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<SlackRole, SlackError> {
    let installed = async { db::installations::find(&mut app.db.begin(tenant_id).await?, tenant_id).await };
    let Ok::<_, DbError>(Some(installed)) = installed.await else { return Ok(SlackRole::Member) };
    let bot =
        BotAuth { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, send_guard: None };
    let user = app.slack.fetch_user(&bot, user_id).await?;
    Ok(match (user.is_deleted, user.is_admin) {
        (true, _) => SlackRole::Deactivated,
        (false, true) => SlackRole::Admin,
        (false, false) => SlackRole::Member,
    })
}

pub(crate) async fn end_session(app: &WebState, signed_in: &CurrentUser) -> Result<(), DbError> {
    let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
    db::sessions::delete(&mut tx, &signed_in.digest).await?;
    tx.commit().await
}

/// The cookie that holds a session's secret.
pub(crate) fn session_cookie(app: &WebState, secret: &SecretString) -> (HeaderName, String) {
    (SET_COOKIE, build_cookie(app, secret.expose_secret()).to_string())
}

/// The cookie that makes the browser forget it.
pub(crate) fn expired_cookie(app: &WebState) -> (HeaderName, String) {
    let mut gone = build_cookie(app, "");
    gone.set_max_age(time::Duration::ZERO);
    (SET_COOKIE, gone.to_string())
}

fn build_cookie(app: &WebState, secret: &str) -> Cookie<'static> {
    Cookie::build((cookie_name(app), secret.to_owned()))
        .path("/")
        .http_only(true)
        // Whoever follows a link to the dashboard is to be signed in there; what changes anything is a POST.
        .same_site(SameSite::Lax)
        .secure(app.is_secure())
        .build()
}

/// With its prefix no other host of the domain can set it.
fn cookie_name(app: &WebState) -> &'static str {
    if app.is_secure() { "__Host-enablebot" } else { "enablebot" }
}

fn forbidden() -> Response {
    let problem = ErrorPage {
        title: "This is for admins",
        detail: "Only admins and owners of your workspace, and whoever installed EnableBot, see this page.",
        next_step: "Ask one of them, or go back to your own page.",
        action: Some(ActionLink { href: "/dashboard", label: "To your page" }),
    };
    render_page(StatusCode::FORBIDDEN, &problem)
}
