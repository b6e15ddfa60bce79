//! `GET /operators/tenants/{tenant_id}`: one workspace, its problems, and actions of operators.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::operators::{DeadLetter, TenantDetails};
use db::overview::EventTraffic;
use db::{DbError, Tx};
use models::TenantId;
use slack::RequiredScope;

use super::tenant_badge;
use crate::auth::{CurrentUser, Operator};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::routes::responses::{database_error, not_found};
use crate::state::WebState;

/// Maximum number of dead letters on the page.
const MAX_TENANT_DEAD_LETTERS: i64 = 10;

#[derive(Template)]
#[template(path = "operators/tenant.html")]
struct TenantPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    /// The page that actions return to.
    back: &'static str,
    facts: TenantDetails,
    traffic: EventTraffic,
    dead_letters: Vec<DeadLetter>,
}

pub(crate) async fn show(
    State(app): State<Arc<WebState>>,
    Operator(signed_in): Operator,
    Path(tenant_id): Path<String>,
) -> Response {
    let tenant_id = &TenantId::new(tenant_id);
    let load = |mut tx: Tx| async move {
        let Some(facts) = db::operators::find_tenant(&mut tx, tenant_id).await? else { return Ok(None) };
        let traffic = db::overview::load_traffic(&mut tx, tenant_id).await?;
        let dead_letters =
            db::operators::list_dead_letters(&mut tx, Some(tenant_id), MAX_TENANT_DEAD_LETTERS).await?;
        Ok::<_, DbError>(Some((facts, traffic, dead_letters)))
    };
    match signed_in.read_tenant(&app, tenant_id, load).await {
        Ok(Some((facts, traffic, dead_letters))) => {
            let (active_page, back) = ("operators", "tenant");
            let page = TenantPage { signed_in: &signed_in, active_page, back, facts, traffic, dead_letters };
            render_page(StatusCode::OK, &page)
        }
        Ok(None) => not_found().await,
        Err(error) => database_error(&error),
    }
}

impl TenantPage<'_> {
    fn badge(&self) -> (&'static str, &'static str) {
        let TenantDetails { suspended_reason, disabled_reason, delete_after, installed_at, .. } = &self.facts;
        tenant_badge(suspended_reason, disabled_reason, delete_after, installed_at)
    }

    fn missing_scopes(&self) -> Vec<RequiredScope> {
        self.facts.scopes.as_deref().map(slack::missing_scopes).unwrap_or_default()
    }
}
