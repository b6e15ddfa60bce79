//! Responses that many handlers share.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use db::DbError;

use crate::page::{ActionLink, ErrorPage, render_page};

/// Returns the trimmed text of a form field, or `None` if it is empty.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Redirects after an action, or responds with 404 if its target does not exist.
pub(crate) async fn redirect_or_404(path: &str, done: Result<bool, DbError>) -> Response {
    match done {
        Ok(true) => Redirect::to(path).into_response(),
        Ok(false) => not_found().await,
        Err(error) => database_error(&error),
    }
}

/// Builds the page for a malformed form.
pub(crate) fn malformed_form() -> Response {
    let problem = ErrorPage {
        title: "Invalid form",
        detail: "The form data is incomplete or invalid. Nothing was changed.",
        next_step: "Go back, reload the page and submit the form again.",
        action: None,
    };
    render_page(StatusCode::BAD_REQUEST, &problem)
}

/// Builds the page for a database error, and logs the details.
pub(crate) fn database_error(error: &DbError) -> Response {
    if error.is_invalid_text() {
        return malformed_form();
    }
    tracing::error!(error = %error, "page failed on a database error");
    let problem = ErrorPage {
        title: "The database is not responding",
        detail: "The page could not be loaded.",
        next_step: "Wait a minute, then reload. If the problem persists, contact your operator.",
        action: None,
    };
    render_page(StatusCode::SERVICE_UNAVAILABLE, &problem)
}

pub(crate) async fn not_found() -> Response {
    let problem = ErrorPage {
        title: "Page not found",
        detail: "The address may be mistyped, or the page was removed.",
        next_step: "Start again from the home page.",
        action: Some(ActionLink { href: "/", label: "Go to home page" }),
    };
    render_page(StatusCode::NOT_FOUND, &problem)
}
