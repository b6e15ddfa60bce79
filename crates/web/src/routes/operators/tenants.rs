//! `GET /operators`: all workspaces, their growth, and their problems.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::operators::{TenantCounts, TenantSummary};
use db::{DbError, Tx};
use serde::Deserialize;

use super::growth_chart::{self, GrowthChart};
use super::tenant_badge;
use crate::auth::{CurrentUser, Operator};
use crate::format::PageFormat;
use crate::page::render_page;
use crate::routes::responses::{database_error, non_empty};
use crate::state::WebState;

/// Maximum number of tenants on a page.
const MAX_TENANT_ROWS: i64 = 100;

/// Query of the list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct TenantsQuery {
    search: String,
    /// Number of the page, starting at 0.
    page: u32,
}

#[derive(Template)]
#[template(path = "operators/tenants.html")]
struct TenantListPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    tab: &'static str,
    query: TenantsQuery,
    counts: TenantCounts,
    growth_chart: GrowthChart,
    tenants: Vec<TenantSummary>,
}

pub(crate) async fn list(
    State(app): State<Arc<WebState>>,
    Operator(signed_in): Operator,
    query: Result<Query<TenantsQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    match load_list(&app, &signed_in, &query).await {
        Ok((counts, growth_chart, tenants)) => {
            let (active_page, tab) = ("operators", "tenants");
            let signed_in = &signed_in;
            let page = TenantListPage { signed_in, active_page, tab, query, counts, growth_chart, tenants };
            render_page(StatusCode::OK, &page)
        }
        Err(error) => database_error(&error),
    }
}

async fn load_list(
    app: &WebState,
    signed_in: &CurrentUser,
    query: &TenantsQuery,
) -> Result<(TenantCounts, GrowthChart, Vec<TenantSummary>), DbError> {
    let (search, skip) = (non_empty(&query.search), i64::from(query.page) * MAX_TENANT_ROWS);
    let search = search.as_deref();
    let read = |mut tx: Tx| async move {
        let counts = db::operators::count_tenants(&mut tx).await?;
        let growth =
            db::operators::list_growth(&mut tx, growth_chart::GROWTH_DAYS, growth_chart::GROWTH_STEP_DAYS)
                .await?;
        let tenants = db::operators::list_tenants(&mut tx, search, skip, MAX_TENANT_ROWS).await?;
        Ok::<_, DbError>((counts, GrowthChart::draw(&growth), tenants))
    };
    signed_in.read_cross_tenant(app, read).await
}

impl TenantListPage<'_> {
    fn badge(&self, tenant: &TenantSummary) -> (&'static str, &'static str) {
        let TenantSummary { suspended_reason, disabled_reason, delete_after, installed_at, .. } = tenant;
        tenant_badge(suspended_reason, disabled_reason, delete_after, installed_at)
    }

    /// Returns the address of the previous or the next page, if there is one.
    fn page_link(&self, is_back: bool) -> Option<String> {
        let is_full = i64::try_from(self.tenants.len()).is_ok_and(|count| count == MAX_TENANT_ROWS);
        let page = match is_back {
            true => self.query.page.checked_sub(1),
            false => self.query.page.checked_add(1).filter(|_| is_full),
        }?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("search", &self.query.search).append_pair("page", &page.to_string());
        Some(format!("/operators?{}", query.finish()))
    }
}
