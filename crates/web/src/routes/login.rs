//! `GET /login`, `GET /login/callback`, `POST /logout`: Sign in with Slack, and out again.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, PrivateCookieJar, SameSite};
use db::DbError;
use db::audit_log::AuditAction;
use db::sessions::DashboardSession;
use models::TenantId;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use slack::{PendingSignIn, SignInError, SlackIdentity};

use super::oauth_callback::OAuthCallback;
use crate::auth::{self, CurrentUser, SlackRole};
use crate::page::{ActionLink, ErrorPage, render_page};
use crate::secrets::{digest, random_secret};
use crate::state::WebState;

/// What the browser brings back, sealed so that it can neither read nor change it.
const SIGN_IN_COOKIE: &str = "enablebot_sign_in";

/// A sign-in that takes longer begins anew.
const SIGN_IN_TTL: time::Duration = time::Duration::minutes(10);

const DASHBOARD_PATH: &str = "/dashboard";

/// A sign-in under way, and where the person wanted to go.
#[derive(Serialize, Deserialize)]
struct SignInAttempt {
    sign_in: PendingSignIn,
    next: String,
}

#[derive(Default, Deserialize)]
pub(crate) struct LoginQuery {
    next: Option<String>,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
enum SignInFailure {
    #[error("the sign-in was cancelled in Slack")]
    Denied,
    #[error("the state is missing, used, too old, or another browser's")]
    BadState,
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error("{0} has no installation")]
    NotInstalled(String),
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbError),
}

pub(crate) async fn begin(
    State(app): State<Arc<WebState>>,
    headers: HeaderMap,
    wanted: Result<Query<LoginQuery>, QueryRejection>,
) -> Response {
    let wanted = wanted.map(|Query(wanted)| wanted.next).unwrap_or_default();
    let next = wanted.filter(|next| is_safe_redirect(next)).unwrap_or_else(|| DASHBOARD_PATH.to_owned());
    let begun = SignInAttempt { sign_in: PendingSignIn::generate(), next };
    let url = begun.sign_in.authorize_url(&app.slack_app, &app.slack_base_url, &app.login_uri);
    let (Ok(url), Ok(sealed)) = (url, serde_json::to_string(&begun)) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let cookies = PrivateCookieJar::from_headers(&headers, app.cookie_key.clone());
    let cookie = Cookie::build((SIGN_IN_COOKIE, sealed))
        .path("/login")
        .http_only(true)
        // Strict would not come back with the redirect from Slack.
        .same_site(SameSite::Lax)
        .secure(app.is_secure())
        .max_age(SIGN_IN_TTL);
    let headers = [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store")];
    (StatusCode::FOUND, cookies.add(cookie), headers).into_response()
}

pub(crate) async fn handle_callback(
    State(app): State<Arc<WebState>>,
    headers: HeaderMap,
    callback: Result<Query<OAuthCallback>, QueryRejection>,
) -> Response {
    let callback = callback.map(|Query(callback)| callback).unwrap_or_default();
    let cookies = PrivateCookieJar::from_headers(&headers, app.cookie_key.clone());
    let begun = cookies
        .get(SIGN_IN_COOKIE)
        .and_then(|cookie| serde_json::from_str::<SignInAttempt>(cookie.value()).ok());
    // Good once: whatever comes of it, the browser forgets it.
    let cookies = cookies.remove(Cookie::build(SIGN_IN_COOKIE).path("/login"));
    match complete_sign_in(&app, begun, callback).await {
        Ok((session, next)) => {
            let headers = [(LOCATION, next.as_str()), (CACHE_CONTROL, "no-store")];
            (StatusCode::SEE_OTHER, cookies, [auth::session_cookie(&app, &session)], headers).into_response()
        }
        Err(refusal) => (cookies, render_failure(refusal)).into_response(),
    }
}

pub(crate) async fn sign_out(State(app): State<Arc<WebState>>, signed_in: CurrentUser) -> Response {
    match auth::end_session(&app, &signed_in).await {
        Ok(()) => ([auth::expired_cookie(&app)], Redirect::to("/")).into_response(),
        Err(error) => render_failure(error.into()),
    }
}

/// The secret of the new session, and where to go with it.
async fn complete_sign_in(
    app: &WebState,
    begun: Option<SignInAttempt>,
    callback: OAuthCallback,
) -> Result<(SecretString, String), SignInFailure> {
    let begun = begun.ok_or(SignInFailure::BadState)?;
    if callback.state.as_deref() != Some(&begun.sign_in.state) {
        return Err(SignInFailure::BadState);
    }
    let code = match (callback.error, callback.code) {
        (None, Some(code)) => code,
        _ => return Err(SignInFailure::Denied),
    };
    let identity = app.slack.fetch_identity(&app.slack_app, &app.login_uri, &begun.sign_in, &code).await?;
    let tenant_id = resolve_tenant(app, &identity).await?;
    let standing = auth::fetch_slack_role(app, &tenant_id, &identity.user_id).await;
    let session = DashboardSession {
        tenant_id,
        user_id: identity.user_id,
        name: identity.name,
        email: identity.email,
        is_admin: matches!(standing, Ok(SlackRole::Admin)),
        checked_at: chrono::Utc::now(),
    };
    Ok((create_session(app, &session).await?, begun.next))
}

async fn resolve_tenant(app: &WebState, identity: &SlackIdentity) -> Result<TenantId, SignInFailure> {
    let team_id = identity.team_id.as_str();
    let found = db::sessions::find_tenant(&mut app.db.begin_cross_tenant().await?, team_id).await?;
    found.ok_or_else(|| SignInFailure::NotInstalled(team_id.to_owned()))
}

async fn create_session(app: &WebState, session: &DashboardSession) -> Result<SecretString, DbError> {
    let secret = random_secret();
    let (tenant_id, actor) = (&session.tenant_id, session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    db::sessions::insert(&mut tx, &digest(secret.expose_secret()), session).await?;
    let detail = json!({ "is_admin": session.is_admin });
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::SignedIn, detail).await?;
    tx.commit().await?;
    tracing::info!(%tenant_id, user_id = actor, "signed in");
    Ok(secret)
}

/// A page for those who are signed in, and no way to anywhere else.
fn is_safe_redirect(next: &str) -> bool {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let plain = next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    let below =
        |page: &str| path.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    plain && (below(DASHBOARD_PATH) || below("/operators"))
}

fn render_failure(refusal: SignInFailure) -> Response {
    let again = Some(ActionLink { href: "/login", label: "Sign in" });
    let install = Some(ActionLink { href: "/slack/install", label: "Add to Slack" });
    let (status, title, what, next, action) = match &refusal {
        SignInFailure::Denied => (
            StatusCode::FORBIDDEN,
            "The sign-in was cancelled",
            "Slack says that the request was not approved.",
            "If that was not meant, sign in again.",
            again,
        ),
        SignInFailure::BadState => (
            StatusCode::BAD_REQUEST,
            "This sign-in link is no longer good",
            "A link from Slack is good once, for ten minutes, and only in the browser that began.",
            "Sign in again in this browser, with cookies allowed.",
            again,
        ),
        SignInFailure::SignIn(
            SignInError::Slack(slack::SlackError::Api { .. }) | SignInError::InvalidToken(_),
        ) => (
            StatusCode::BAD_REQUEST,
            "Slack did not confirm the sign-in",
            "What your browser brought back from Slack is not good, or was used already.",
            "Sign in again. If it happens twice, whoever runs this server finds the reason in its log.",
            again,
        ),
        SignInFailure::SignIn(SignInError::Slack(_)) => (
            StatusCode::BAD_GATEWAY,
            "Slack does not answer",
            "The sign-in could not be confirmed with Slack.",
            "Wait a minute, then sign in again.",
            again,
        ),
        SignInFailure::NotInstalled(_) => (
            StatusCode::FORBIDDEN,
            "EnableBot is not in your workspace",
            "You are who you say, but there is no installation in the workspace you signed in with.",
            "Add it there, or sign in with another workspace.",
            install,
        ),
        SignInFailure::Database(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The database does not answer",
            "You could not be signed in.",
            "Wait a minute, then sign in again. If it goes on, tell whoever runs this server.",
            again,
        ),
    };
    tracing::warn!(error = %refusal, "nobody was signed in");
    render_page(status, &ErrorPage { title, detail: what, next_step: next, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_redirect_stays_in_dashboard() {
        for own in ["/dashboard", "/dashboard/events?outcome=failed", "/dashboard?days=7", "/operators/queue"]
        {
            assert!(is_safe_redirect(own), "{own}");
        }
        for foreign in [
            "//evil.example",
            "https://evil.example/dashboard",
            "/dashboards",
            "/operatorsx",
            "/dashboard/\r\nx",
            "/dashboard/\\x",
            "",
        ] {
            assert!(!is_safe_redirect(foreign), "{foreign}");
        }
    }
}
