//! Pages: a template, a status, and the headers that keep a browser from doing more than they ask.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::{Html, IntoResponse, Response};

/// Scripts, styles and pictures come from here only; nobody frames a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// What the bot does, with "Add to Slack".
#[derive(Template)]
#[template(path = "landing.html")]
pub(crate) struct Landing;

/// What to do next after an install.
#[derive(Template)]
#[template(path = "installed.html")]
pub(crate) struct Installed {
    pub(crate) workspace: String,
    pub(crate) open_url: String,
    /// An organisation's install is in no workspace until an admin adds it there.
    pub(crate) is_org_wide: bool,
}

/// Something did not work: what, and the way on.
#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct Problem {
    pub(crate) title: &'static str,
    pub(crate) what: &'static str,
    pub(crate) next: &'static str,
    pub(crate) action: Option<Action>,
}

/// A button.
pub(crate) struct Action {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
}

/// Renders a page. What it shows may be somebody's own: it is not kept anywhere on the way.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    match template.render() {
        Ok(html) => (status, headers, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be shown. Please try again.")
                .into_response()
        }
    }
}
