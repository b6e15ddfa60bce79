//! Rendering of pages, and templates that several routes use.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

/// The landing page, with "Add to Slack".
#[derive(Template)]
#[template(path = "landing.html")]
pub(crate) struct LandingPage {
    /// True for somebody who has just had their data deleted, and is signed out.
    pub(crate) is_forgotten: bool,
}

/// The page after an install, with the next steps.
#[derive(Template)]
#[template(path = "installed.html")]
pub(crate) struct InstalledPage {
    pub(crate) workspace: String,
    pub(crate) open_url: String,
    /// An organisation's installation is in no workspace until an admin adds it there.
    pub(crate) is_org_wide: bool,
    /// Reason of a suspension by an operator, also of one from before an uninstall.
    pub(crate) suspended_reason: Option<String>,
}

/// An error page, with the next step.
#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct ErrorPage<'a> {
    pub(crate) title: &'static str,
    pub(crate) detail: &'a str,
    pub(crate) next_step: &'a str,
    pub(crate) action: Option<ActionLink>,
}

/// A link that is shown as a button.
pub(crate) struct ActionLink {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
}

/// Renders a page.
pub(crate) fn render_page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "page rendering failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be displayed. Please try again.")
                .into_response()
        }
    }
}
