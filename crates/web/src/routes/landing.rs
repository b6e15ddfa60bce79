//! `GET /`: the landing page.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::page::{LandingPage, render_page};

#[derive(Deserialize)]
pub(crate) struct LandingQuery {
    #[serde(default)]
    done: String,
}

pub(crate) async fn show(query: Result<Query<LandingQuery>, QueryRejection>) -> Response {
    let is_forgotten = query.is_ok_and(|Query(query)| query.done == "forgotten");
    render_page(StatusCode::OK, &LandingPage { is_forgotten })
}
