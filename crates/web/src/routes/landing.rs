//! `GET /`: the landing page.

use axum::http::StatusCode;
use axum::response::Response;

use crate::page::{LandingPage, render_page};

pub(crate) async fn show() -> Response {
    render_page(StatusCode::OK, &LandingPage)
}
