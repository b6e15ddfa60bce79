//! `GET /`: what the bot does.

use axum::http::StatusCode;
use axum::response::Response;

use crate::page::{Action, Landing, Problem, page};

pub(crate) async fn show() -> Response {
    page(StatusCode::OK, &Landing)
}

pub(crate) async fn not_found() -> Response {
    let problem = Problem {
        title: "There is nothing here",
        what: "The address may be mistyped, or the page is gone.",
        next: "The front page leads to everything there is.",
        action: Some(Action { href: "/", label: "To the front page" }),
    };
    page(StatusCode::NOT_FOUND, &problem)
}
