//! Extractors that let a handler run only for a person who is signed in and allowed to.

use std::sync::{Arc, OnceLock};

use assistant::Standing;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use db::DbError;

use super::cookies::cookie_name;
use super::current_user::{ConfirmedAdmin, CurrentUser, Operator, WorkspaceAdmin};
use super::secrets::digest;
use super::session_cookie::SESSION_COOKIE;
use super::standing;
use crate::middleware::read_your_writes;
use crate::routes::responses::{database_error, not_found};
use crate::state::WebState;

impl FromRequestParts<Arc<WebState>> for CurrentUser {
    type Rejection = Response;

    /// Redirects to the sign-in if there is no session; the sign-in returns to the requested page.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        let cookies = CookieJar::from_headers(&parts.headers);
        let user = match cookies.get(&cookie_name(app, SESSION_COOKIE)).map(|cookie| digest(cookie.value())) {
            Some(digest) => find_current_user(app, digest).await.map_err(|error| database_error(&error))?,
            None => None,
        };
        let read_primary_until = read_your_writes::read_primary_until(app, &cookies);
        user.map(|user| Self { read_primary_until, ..user }).ok_or_else(|| {
            let next = parts.uri.path_and_query().map_or("/dashboard", |next| next.as_str());
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            Redirect::to(&format!("/login?{}", query.append_pair("next", next).finish())).into_response()
        })
    }
}

impl FromRequestParts<Arc<WebState>> for WorkspaceAdmin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        let signed_in = CurrentUser::from_request_parts(parts, app).await?;
        if signed_in.is_admin { Ok(Self(signed_in)) } else { Err(standing::forbidden()) }
    }
}

impl FromRequestParts<Arc<WebState>> for ConfirmedAdmin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        let WorkspaceAdmin(signed_in) = WorkspaceAdmin::from_request_parts(parts, app).await?;
        let is_slack_admin = signed_in.confirm_manager(app).await? == Standing::Admin;
        Ok(Self(CurrentUser { is_slack_admin, ..signed_in }))
    }
}

impl FromRequestParts<Arc<WebState>> for Operator {
    type Rejection = Response;

    /// Responds with 404 to people who are not operators.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        if app.operators.is_empty() {
            return Err(not_found().await);
        }
        let signed_in = CurrentUser::from_request_parts(parts, app).await?;
        if signed_in.is_operator { Ok(Self(signed_in)) } else { Err(not_found().await) }
    }
}

/// Returns the person of a session, and asks Slack about them if that was long ago; `None` if the session has
/// ended.
pub(super) async fn find_current_user(
    app: &WebState,
    digest: Vec<u8>,
) -> Result<Option<CurrentUser>, DbError> {
    let Some(mut found) = app.session_loader.load(digest.clone()).await? else { return Ok(None) };
    if !standing::recheck(app, &mut found).await? {
        return Ok(None);
    }
    let is_fresh = standing::is_fresh(found.session.checked_at);
    Ok(Some(CurrentUser {
        is_admin: is_fresh && (found.session.is_admin || found.is_named_manager),
        is_slack_admin: is_fresh && found.session.is_admin,
        is_operator: is_fresh && app.operators.contains(&found.session),
        session: found.session,
        suspended_reason: found.suspended_reason,
        digest,
        read_primary_until: None,
        data_age_seconds: OnceLock::new(),
    }))
}
