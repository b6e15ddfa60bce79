//! Extractors that let a handler run only for a person who is signed in and allowed to.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use chrono::{TimeDelta, Utc};
use db::DbError;

use super::current_user::{CurrentUser, Operator, WorkspaceAdmin};
use super::secrets::digest;
use super::session_cookie::cookie_name;
use super::slack_role::{SlackRole, fetch_slack_role};
use crate::middleware::read_your_writes;
use crate::page::{ActionLink, ErrorPage, render_page};
use crate::routes::responses::{database_error, not_found};
use crate::state::WebState;

/// A role that Slack reported is checked again after this time.
const ROLE_RECHECK_INTERVAL: TimeDelta = TimeDelta::minutes(10);

impl FromRequestParts<Arc<WebState>> for CurrentUser {
    type Rejection = Response;

    /// Redirects to the sign-in if there is no session; the sign-in returns to the requested page.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<WebState>) -> Result<Self, Response> {
        let cookies = CookieJar::from_headers(&parts.headers);
        let user = match cookies.get(cookie_name(app)).map(|cookie| digest(cookie.value())) {
            Some(digest) => find_current_user(app, digest).await.map_err(|error| database_error(&error))?,
            None => None,
        };
        let read_primary_until = read_your_writes::read_primary_until(&cookies);
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
        if signed_in.is_admin { Ok(Self(signed_in)) } else { Err(forbidden()) }
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

fn forbidden() -> Response {
    let problem = ErrorPage {
        title: "This page is for admins",
        detail: "Only admins and owners of your workspace and the person who installed EnableBot can open it.",
        next_step: "Ask one of them, or go back to your dashboard.",
        action: Some(ActionLink { href: "/dashboard", label: "Open dashboard" }),
    };
    render_page(StatusCode::FORBIDDEN, &problem)
}
