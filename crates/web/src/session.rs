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
use db::sessions::Session;
use models::{TenantId, UserId};
use secrecy::{ExposeSecret, SecretString};
use slack::{Bot, SlackError};

use crate::app::App;
use crate::page::{Action, Problem, page};
use crate::reading;
use crate::routes::{not_found, trouble};
use crate::secret::digest;

/// How long Slack's word on who is an admin counts.
const CHECKED_FOR: TimeDelta = TimeDelta::minutes(10);

/// Somebody who is signed in, and what they may do.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    /// Admins and owners of the workspace, and whoever installed the bot.
    pub(crate) manages: bool,
    /// Whoever looks after all workspaces.
    pub(crate) is_operator: bool,
    /// Why the workspace's questions are not answered, if an operator suspended it.
    pub(crate) suspended_reason: Option<String>,
    digest: Vec<u8>,
    /// Until when the primary is asked for them.
    pub(crate) changed_until: Option<Instant>,
    /// How old what they see is, in seconds, once something was read.
    pub(crate) age: OnceLock<u64>,
}

/// Somebody who manages the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Manager(pub(crate) SignedIn);

/// Somebody who looks after all workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Operator(pub(crate) SignedIn);

/// A page of the dashboard: its address, its name among the templates, and what people read.
type Page = (&'static str, &'static str, &'static str);

const OWN_PAGES: [Page; 3] = [
    ("/dashboard", "overview", "Overview"),
    ("/dashboard/conversations", "conversations", "Conversations"),
    ("/dashboard/events", "events", "Events"),
];

const MANAGERS_PAGES: [Page; 6] = [
    ("/dashboard/people", "people", "People"),
    ("/dashboard/settings", "settings", "Settings"),
    ("/dashboard/api-keys", "api_keys", "API keys"),
    ("/dashboard/health", "health", "Health"),
    ("/dashboard/audit", "audit", "Audit log"),
    ("/dashboard/data", "data", "Data"),
];

const ABOUT_ME: Page = ("/dashboard/people/me", "me", "About me");

const OPERATORS_PAGES: [Page; 1] = [("/operators", "operators", "Operators")];

impl SignedIn {
    /// The pages that they may open.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &'static Page> {
        let managers = MANAGERS_PAGES.iter().filter(|_| self.manages);
        let operators = OPERATORS_PAGES.iter().filter(|_| self.is_operator);
        OWN_PAGES.iter().chain(managers).chain([&ABOUT_ME]).chain(operators)
    }
}

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Response;

    /// Without a session the way leads to the sign-in, and back here.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let cookies = CookieJar::from_headers(&parts.headers);
        let found = match cookies.get(cookie_name(app)).map(|cookie| digest(cookie.value())) {
            Some(digest) => find(app, digest).await.map_err(|error| trouble(&error))?,
            None => None,
        };
        let changed_until = reading::changed_until(&cookies);
        found.map(|found| Self { changed_until, ..found }).ok_or_else(|| {
            let wanted = parts.uri.path_and_query().map_or("/dashboard", |wanted| wanted.as_str());
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            Redirect::to(&format!("/login?{}", query.append_pair("next", wanted).finish())).into_response()
        })
    }
}

impl FromRequestParts<Arc<App>> for Manager {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let signed_in = SignedIn::from_request_parts(parts, app).await?;
        if signed_in.manages { Ok(Self(signed_in)) } else { Err(forbidden()) }
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Response;

    /// For others, and where there are none, the page is not there.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        if app.operators.is_empty() {
            return Err(not_found().await);
        }
        let signed_in = SignedIn::from_request_parts(parts, app).await?;
        if signed_in.is_operator { Ok(Self(signed_in)) } else { Err(not_found().await) }
    }
}

async fn find(app: &App, digest: Vec<u8>) -> Result<Option<SignedIn>, DbError> {
    let Some(mut found) = app.door.ask(digest.clone()).await? else { return Ok(None) };
    let session = &mut found.session;
    if Utc::now() - session.checked_at > CHECKED_FOR {
        // While Slack does not answer its last word counts.
        match ask_standing(app, &session.tenant_id, &session.user_id).await {
            Ok(Standing::Gone) => {
                let mut tx = app.db.begin(&session.tenant_id).await?;
                db::sessions::delete_of(&mut tx, &session.tenant_id, &session.user_id).await?;
                tx.commit().await?;
                return Ok(None);
            }
            Ok(standing) => {
                session.is_admin = standing == Standing::Admin;
                let mut tx = app.db.begin(&session.tenant_id).await?;
                db::sessions::set_admin(&mut tx, &session.tenant_id, &session.user_id, session.is_admin)
                    .await?;
                tx.commit().await?;
            }
            Err(_) => {}
        }
    }
    let manages = found.session.is_admin || found.is_installer;
    let is_operator = app.operators.include(&found.session);
    let (session, suspended_reason) = (found.session, found.suspended_reason);
    Ok(Some(SignedIn {
        session,
        manages,
        is_operator,
        suspended_reason,
        digest,
        changed_until: None,
        age: OnceLock::new(),
    }))
}

/// What somebody is in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Admin,
    Member,
    /// Their account is deactivated.
    Gone,
}

/// Asks Slack, with the workspace's own token.
pub(crate) async fn ask_standing(
    app: &App,
    tenant_id: &TenantId,
    user_id: &UserId,
) -> Result<Standing, SlackError> {
    let installed = async { db::installations::find(&mut app.db.begin(tenant_id).await?, tenant_id).await };
    let Ok::<_, DbError>(Some(installed)) = installed.await else { return Ok(Standing::Member) };
    let bot = Bot { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, hold: None };
    let user = app.slack.find_user(&bot, user_id).await?;
    Ok(match (user.is_deleted, user.is_admin) {
        (true, _) => Standing::Gone,
        (false, true) => Standing::Admin,
        (false, false) => Standing::Member,
    })
}

pub(crate) async fn close(app: &App, signed_in: &SignedIn) -> Result<(), DbError> {
    let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
    db::sessions::delete(&mut tx, &signed_in.digest).await?;
    tx.commit().await
}

/// The cookie that holds a session's secret.
pub(crate) fn set_cookie(app: &App, secret: &SecretString) -> (HeaderName, String) {
    (SET_COOKIE, cookie(app, secret.expose_secret()).to_string())
}

/// The cookie that makes the browser forget it.
pub(crate) fn drop_cookie(app: &App) -> (HeaderName, String) {
    let mut gone = cookie(app, "");
    gone.set_max_age(time::Duration::ZERO);
    (SET_COOKIE, gone.to_string())
}

fn cookie(app: &App, secret: &str) -> Cookie<'static> {
    Cookie::build((cookie_name(app), secret.to_owned()))
        .path("/")
        .http_only(true)
        // Whoever follows a link to the dashboard is to be signed in there; what changes anything is a POST.
        .same_site(SameSite::Lax)
        .secure(app.is_secure())
        .build()
}

/// With its prefix no other host of the domain can set it.
fn cookie_name(app: &App) -> &'static str {
    if app.is_secure() { "__Host-enablebot" } else { "enablebot" }
}

fn forbidden() -> Response {
    let problem = Problem {
        title: "This is for admins",
        what: "Only admins and owners of your workspace, and whoever installed EnableBot, see this page.",
        next: "Ask one of them, or go back to your own page.",
        action: Some(Action { href: "/dashboard", label: "To your page" }),
    };
    page(StatusCode::FORBIDDEN, &problem)
}
