//! `GET /dashboard/api`: how a program asks. `api` serves the same for programs to read, at `/api/openapi.json`.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::page::page;
use crate::session::SignedIn;

#[derive(Template)]
#[template(path = "api_docs.html")]
struct ApiDocs<'a> {
    signed_in: &'a SignedIn,
    here: &'static str,
    origin: &'a str,
}

pub(crate) async fn show(State(app): State<Arc<App>>, signed_in: SignedIn) -> Response {
    page(StatusCode::OK, &ApiDocs { signed_in: &signed_in, here: "api_keys", origin: app.origin() })
}
