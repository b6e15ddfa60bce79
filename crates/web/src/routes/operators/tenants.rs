//! `GET /operators`: who uses the bot, how many come, and who has trouble.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::operators::{TenantCounts, TenantSummary};
use db::{DbError, Tx};
use serde::Deserialize;

use super::growth::{self, GrowthChart};
use super::tenant_badge;
use crate::auth::{CurrentUser, Operator};
use crate::format;
use crate::page::render_page;
use crate::routes::{database_error, non_empty};
use crate::state::WebState;

/// Tenants on a page.
const MAX_TENANT_ROWS: i64 = 100;

/// What the form asks for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct TenantsQuery {
    search: String,
    /// From 0.
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
    asked: Result<Query<TenantsQuery>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    match load_list(&app, &signed_in, &asked).await {
        Ok((counts, picture, tenants)) => {
            let (here, tab) = ("operators", "tenants");
            let shown = TenantListPage {
                signed_in: &signed_in,
                active_page: here,
                tab,
                query: asked,
                counts,
                growth_chart: picture,
                tenants,
            };
            render_page(StatusCode::OK, &shown)
        }
        Err(error) => database_error(&error),
    }
}

async fn load_list(
    app: &WebState,
    signed_in: &CurrentUser,
    asked: &TenantsQuery,
) -> Result<(TenantCounts, GrowthChart, Vec<TenantSummary>), DbError> {
    let (search, skip) = (non_empty(&asked.search), i64::from(asked.page) * MAX_TENANT_ROWS);
    let search = search.as_deref();
    let read = |mut tx: Tx| async move {
        let counts = db::operators::count_tenants(&mut tx).await?;
        let growth =
            db::operators::list_growth(&mut tx, growth::GROWTH_DAYS, growth::GROWTH_STEP_DAYS).await?;
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

    fn number(&self, count: &i64) -> String {
        format::grouped(*count)
    }

    /// The address of another page of the same list, if there is one.
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
