//! `/dashboard/sessions`: a person's own sessions, and how to end them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;
use db::audit_log::AuditAction;
use db::sessions::ListedSession;
use serde_json::json;
use uuid::Uuid;

use super::responses::{database_error, not_found, redirect_or_404};
use crate::auth::{CurrentUser, session_cookie};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::state::WebState;

const SESSIONS_PATH: &str = "/dashboard/sessions";

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    sessions: Vec<ListedSession>,
}

impl SessionsPage<'_> {
    fn is_this(&self, session: &ListedSession) -> bool {
        self.signed_in.is_session(&session.digest)
    }
}

pub(crate) async fn list(State(app): State<Arc<WebState>>, signed_in: CurrentUser) -> Response {
    let (tenant_id, user_id) = (&signed_in.session.tenant_id, &signed_in.session.user_id);
    let load = async {
        let mut tx = app.db.begin(tenant_id).await?;
        let sessions = db::sessions::list(&mut tx, &app.session_key, tenant_id, user_id).await?;
        tx.commit().await?;
        Ok::<_, DbError>(sessions)
    };
    match load.await {
        Ok(sessions) => {
            let page = SessionsPage { signed_in: &signed_in, active_page: "sessions", sessions };
            render_page(StatusCode::OK, &page)
        }
        Err(error) => database_error(&error),
    }
}

/// Ends one of the person's sessions.
pub(crate) async fn end(
    State(app): State<Arc<WebState>>,
    signed_in: CurrentUser,
    Path(session_id): Path<String>,
) -> Response {
    let Ok(session_id) = session_id.parse::<Uuid>() else { return not_found().await };
    let (tenant_id, user_id) = (&signed_in.session.tenant_id, &signed_in.session.user_id);
    let ended = async {
        let mut tx = app.db.begin(tenant_id).await?;
        let is_ended = db::sessions::delete_one(&mut tx, tenant_id, user_id, session_id).await?;
        if is_ended {
            let (action, detail) = (AuditAction::SessionsEnded, json!({ "sessions": 1 }));
            db::audit_log::insert(&mut tx, tenant_id, user_id.as_str(), action, detail).await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(is_ended)
    };
    redirect_or_404(SESSIONS_PATH, ended.await).await
}

/// Ends all of the person's sessions, including this one.
pub(crate) async fn end_all(State(app): State<Arc<WebState>>, signed_in: CurrentUser) -> Response {
    let (tenant_id, user_id) = (&signed_in.session.tenant_id, &signed_in.session.user_id);
    let ended = async {
        let mut tx = app.db.begin(tenant_id).await?;
        let count = db::sessions::delete_all(&mut tx, tenant_id, user_id).await?;
        let (action, detail) = (AuditAction::SessionsEnded, json!({ "sessions": count }));
        db::audit_log::insert(&mut tx, tenant_id, user_id.as_str(), action, detail).await?;
        tx.commit().await
    };
    match ended.await {
        Ok(()) => ([session_cookie::expired_cookie(&app)], Redirect::to("/")).into_response(),
        Err(error) => database_error(&error),
    }
}
