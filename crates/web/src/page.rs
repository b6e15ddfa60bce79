//! Pages: a template and a status.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

/// What the bot does, with "Add to Slack".
#[derive(Template)]
#[template(path = "landing.html")]
pub(crate) struct LandingPage;

/// What to do next after an install.
#[derive(Template)]
#[template(path = "installed.html")]
pub(crate) struct InstalledPage {
    pub(crate) workspace: String,
    pub(crate) open_url: String,
    /// An organisation's install is in no workspace until an admin adds it there.
    pub(crate) is_org_wide: bool,
}

/// Something did not work: what, and the way on.
#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct ErrorPage {
    pub(crate) title: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) next_step: &'static str,
    pub(crate) action: Option<ActionLink>,
}

/// A button.
pub(crate) struct ActionLink {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
}

/// Renders a page. What a browser may do with it, and that nobody keeps it, is said by `headers`.
pub(crate) fn render_page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be shown. Please try again.")
                .into_response()
        }
    }
}
