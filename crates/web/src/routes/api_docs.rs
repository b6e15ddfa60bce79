//! `GET /dashboard/api`: the API reference. `api` serves the machine-readable form at `/api/openapi.json`.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::auth::CurrentUser;
use crate::page::render_page;
use crate::state::WebState;

#[derive(Template)]
#[template(path = "api_docs.html")]
struct ApiDocsPage<'a> {
    signed_in: &'a CurrentUser,
    active_page: &'static str,
    origin: &'a str,
}

pub(crate) async fn show(State(app): State<Arc<WebState>>, signed_in: CurrentUser) -> Response {
    render_page(
        StatusCode::OK,
        &ApiDocsPage { signed_in: &signed_in, active_page: "api_keys", origin: app.origin() },
    )
}
