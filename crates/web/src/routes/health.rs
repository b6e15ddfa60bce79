//! `GET /dashboard/health`: problems of the installation, and how to fix them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{TimeDelta, Utc};
use db::installations::StoredInstallation;
use db::overview::EventTraffic;
use db::{DbError, Tx};
use slack::RequiredScope;

use super::responses::{database_error, not_found};
use crate::auth::{CurrentUser, WorkspaceAdmin};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::state::WebState;

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    installed: StoredInstallation,
    missing: Vec<RequiredScope>,
    traffic: EventTraffic,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    let tenant_id = &signed_in.session.tenant_id;
    let load = |mut tx: Tx| async move {
        let installed = db::installations::find(&mut tx, tenant_id).await?;
        Ok::<_, DbError>((installed, db::overview::load_traffic(&mut tx, tenant_id).await?))
    };
    match signed_in.read(&app, load).await {
        Ok((Some(installed), traffic)) => {
            let missing = slack::missing_scopes(&installed.installation.scopes);
            render_page(
                StatusCode::OK,
                &HealthPage { signed_in: &signed_in, active_page: "health", installed, missing, traffic },
            )
        }
        Ok((None, _)) => not_found().await,
        Err(error) => database_error(&error),
    }
}

impl HealthPage<'_> {
    /// Returns true if a rotating token should have been refreshed already.
    fn is_token_expiring(&self) -> bool {
        // Rotating tokens live for 12 hours, and are refreshed hours before they expire.
        self.installed.token_expires_at.is_some_and(|end| end < Utc::now() + TimeDelta::minutes(30))
    }

    fn is_healthy(&self) -> bool {
        let StoredInstallation { disabled_reason, problem, .. } = &self.installed;
        disabled_reason.is_none() && problem.is_none() && self.missing.is_empty() && !self.is_token_expiring()
    }
}
