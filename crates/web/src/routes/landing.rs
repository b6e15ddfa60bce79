//! `GET /`: what the bot does.

use axum::http::StatusCode;
use axum::response::Response;

use crate::page::{ActionLink, ErrorPage, LandingPage, render_page};

pub(crate) async fn show() -> Response {
    render_page(StatusCode::OK, &LandingPage)
}

pub(crate) async fn not_found() -> Response {
    let problem = ErrorPage {
        title: "There is nothing here",
        detail: "The address may be mistyped, or the page is gone.",
        next_step: "The front page leads to everything there is.",
        action: Some(ActionLink { href: "/", label: "To the front page" }),
    };
    render_page(StatusCode::NOT_FOUND, &problem)
}
