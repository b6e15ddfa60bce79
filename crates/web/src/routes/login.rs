//! `GET /login`, `GET /login/callback`, `POST /logout`: sign-in with Slack, and sign-out.

use std::sync::Arc;

use assistant::Standing;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use db::DbError;
use db::audit_log::AuditAction;
use db::sessions::DashboardSession;
use models::TenantId;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use slack::{PendingSignIn, SignInError, SlackIdentity};

use super::install::callback::OAuthCallback;
use crate::auth::CurrentUser;
use crate::auth::browser_name::browser_name;
use crate::auth::secrets::{digest, random_secret};
use crate::auth::session_cookie;
use crate::auth::sign_in_attempt::SignInAttempt;
use crate::auth::standing;
use crate::page::{ActionLink, ErrorPage, render_page};
use crate::state::WebState;

const DASHBOARD_PATH: &str = "/dashboard";

#[derive(Default, Deserialize)]
pub(crate) struct LoginQuery {
    next: Option<String>,
}

/// The reason a sign-in failed.
#[derive(Debug, thiserror::Error)]
enum SignInFailure {
    #[error("the sign-in was cancelled in Slack")]
    Denied,
    #[error("the state is missing, used, expired, or from another browser")]
    BadState,
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error("Slack does not know the person")]
    UnknownPerson,
    #[error("{0} has no installation")]
    NotInstalled(String),
    #[error("database error: {0}")]
    Database(#[from] DbError),
}

pub(crate) async fn begin(
    State(app): State<Arc<WebState>>,
    headers: HeaderMap,
    query: Result<Query<LoginQuery>, QueryRejection>,
) -> Response {
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    let next = next.filter(|next| is_safe_redirect(next)).unwrap_or_else(|| DASHBOARD_PATH.to_owned());
    let attempt = SignInAttempt { sign_in: PendingSignIn::generate(), next };
    let url = attempt.sign_in.authorize_url(&app.slack_app, &app.slack_base_url, &app.login_uri);
    let Ok(url) = url else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    match attempt.store(&app, &headers).await {
        Ok(cookies) => {
            let headers = [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store")];
            (StatusCode::FOUND, cookies, headers).into_response()
        }
        Err(error) => render_failure(error.into()),
    }
}

pub(crate) async fn handle_callback(
    State(app): State<Arc<WebState>>,
    headers: HeaderMap,
    callback: Result<Query<OAuthCallback>, QueryRejection>,
) -> Response {
    let callback = callback.map(|Query(callback)| callback).unwrap_or_default();
    // A state is valid once, whatever the outcome.
    let (cookies, attempt) = match SignInAttempt::consume(&app, &headers, callback.state.as_deref()).await {
        Ok(consumed) => consumed,
        Err(error) => return render_failure(error.into()),
    };
    match complete_sign_in(&app, attempt, callback, &browser_name(&headers)).await {
        Ok((session, next)) => {
            let headers = [(LOCATION, next.as_str()), (CACHE_CONTROL, "no-store")];
            // A list of headers replaces those of its names, so the other cookies come after it.
            (StatusCode::SEE_OTHER, [session_cookie::session_cookie(&app, &session)], cookies, headers)
                .into_response()
        }
        Err(refusal) => (cookies, render_failure(refusal)).into_response(),
    }
}

pub(crate) async fn sign_out(State(app): State<Arc<WebState>>, signed_in: CurrentUser) -> Response {
    match session_cookie::end_session(&app, &signed_in).await {
        Ok(()) => ([session_cookie::expired_cookie(&app)], Redirect::to("/")).into_response(),
        Err(error) => render_failure(error.into()),
    }
}

/// Completes a sign-in; returns the secret of the new session and the page to open.
async fn complete_sign_in(
    app: &WebState,
    attempt: Option<SignInAttempt>,
    callback: OAuthCallback,
    browser: &str,
) -> Result<(SecretString, String), SignInFailure> {
    let attempt = attempt.ok_or(SignInFailure::BadState)?;
    let code = match (callback.error, callback.code) {
        (None, Some(code)) => code,
        _ => return Err(SignInFailure::Denied),
    };
    let identity = app.slack.fetch_identity(&app.slack_app, &app.login_uri, &attempt.sign_in, &code).await?;
    let tenant_id = resolve_tenant(app, &identity).await?;
    let (is_admin, checked_at) = match standing::ask_slack(app, &tenant_id, &identity.user_id).await {
        Ok(Standing::Gone) => return Err(SignInFailure::UnknownPerson),
        Ok(Standing::Unconfirmed) => (false, DateTime::UNIX_EPOCH),
        Ok(confirmed) => (confirmed == Standing::Admin, Utc::now()),
        Err(error) => {
            tracing::warn!(%tenant_id, error = %error, "standing not checked");
            (false, DateTime::UNIX_EPOCH)
        }
    };
    let session = DashboardSession {
        tenant_id,
        user_id: identity.user_id,
        name: identity.name,
        email: identity.email,
        team_id: Some(identity.team_id),
        enterprise_id: identity.enterprise_id,
        is_admin,
        checked_at,
    };
    Ok((create_session(app, &session, browser).await?, attempt.next))
}

async fn resolve_tenant(app: &WebState, identity: &SlackIdentity) -> Result<TenantId, SignInFailure> {
    let team_id = identity.team_id.as_str();
    let found = db::sessions::find_tenant(&mut app.db.begin_cross_tenant().await?, team_id).await?;
    found.ok_or_else(|| SignInFailure::NotInstalled(team_id.to_owned()))
}

async fn create_session(
    app: &WebState,
    session: &DashboardSession,
    browser: &str,
) -> Result<SecretString, DbError> {
    let secret = random_secret();
    let (tenant_id, actor) = (&session.tenant_id, session.user_id.as_str());
    let mut tx = app.db.begin(tenant_id).await?;
    let digest = digest(secret.expose_secret());
    db::sessions::insert(&mut tx, &app.session_key, &digest, session, browser).await?;
    let detail = json!({ "is_admin": session.is_admin });
    db::audit_log::insert(&mut tx, tenant_id, actor, AuditAction::SignedIn, detail).await?;
    tx.commit().await?;
    tracing::info!(%tenant_id, user_id = actor, "signed in");
    Ok(secret)
}

/// Returns true for a path of the dashboard or the operators' pages, and for nothing else.
fn is_safe_redirect(next: &str) -> bool {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let is_plain = next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    let is_under =
        |page: &str| path.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_plain && (is_under(DASHBOARD_PATH) || is_under("/operators"))
}

fn render_failure(refusal: SignInFailure) -> Response {
    let again = Some(ActionLink { href: "/login", label: "Sign in" });
    let install = Some(ActionLink { href: "/slack/install", label: "Add to Slack" });
    let (status, title, what, next, action) = match &refusal {
        SignInFailure::Denied => (
            StatusCode::FORBIDDEN,
            "The sign-in was cancelled",
            "The request was not approved in Slack.",
            "To open the dashboard, sign in again.",
            again,
        ),
        SignInFailure::BadState => (
            StatusCode::BAD_REQUEST,
            "This sign-in link has expired",
            "A link from Slack works once, for ten minutes, and only in the browser that started the sign-in.",
            "Sign in again in this browser with cookies allowed.",
            again,
        ),
        SignInFailure::SignIn(
            SignInError::Slack(slack::SlackError::Api { .. }) | SignInError::InvalidToken(_),
        ) => (
            StatusCode::BAD_REQUEST,
            "Slack did not confirm the sign-in",
            "Slack rejected the code from your browser; it may have been used already.",
            "Sign in again. If it fails again, ask your operator to check the server log.",
            again,
        ),
        SignInFailure::SignIn(SignInError::Slack(_)) => (
            StatusCode::BAD_GATEWAY,
            "Slack is not responding",
            "Slack could not confirm the sign-in.",
            "Wait a minute, then sign in again.",
            again,
        ),
        SignInFailure::UnknownPerson => (
            StatusCode::FORBIDDEN,
            "Slack does not know you in this workspace",
            "Your account is deactivated, or EnableBot's workspace does not include you.",
            "Ask an admin of your workspace, or sign in with another account.",
            again,
        ),
        SignInFailure::NotInstalled(_) => (
            StatusCode::FORBIDDEN,
            "EnableBot is not in your workspace",
            "You signed in with Slack, but EnableBot is not installed in that workspace.",
            "Add it to that workspace, or sign in with another one.",
            install,
        ),
        SignInFailure::Database(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The database is not responding",
            "You could not be signed in.",
            "Wait a minute, then sign in again. If the problem persists, contact your operator.",
            again,
        ),
    };
    tracing::warn!(error = %refusal, "sign-in failed");
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
