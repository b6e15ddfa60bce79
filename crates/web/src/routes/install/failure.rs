//! Failed installs: the reasons, and the page for each.

use axum::http::StatusCode;
use axum::response::Response;
use db::DbError;
use models::TenantId;
use slack::SlackError;

use crate::page::{ActionLink, ErrorPage, render_page};

/// Values of the label `result` of `enablebot_installs_total`.
pub(crate) const INSTALL_RESULTS: [&str; 7] = [
    "installed",
    "denied",
    "bad_state",
    "bad_code",
    "not_allowed",
    "slack_unavailable",
    "database_unavailable",
];

/// The reason an install failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallFailure {
    #[error("the install was cancelled in Slack")]
    Denied,
    #[error("the state is missing, unknown, used, expired, or from another browser")]
    BadState,
    #[error("Slack rejected the code: {0}")]
    BadCode(SlackError),
    #[error("{0} is not in ALLOWED_TEAMS")]
    NotAllowed(TenantId),
    #[error("Slack cannot be reached: {0}")]
    SlackUnavailable(SlackError),
    #[error("database error: {0}")]
    Database(#[from] DbError),
}

impl From<SlackError> for InstallFailure {
    fn from(error: SlackError) -> Self {
        match error {
            SlackError::Api { .. } => Self::BadCode(error),
            error => Self::SlackUnavailable(error),
        }
    }
}

/// Builds the page for a failed install, and logs the details.
pub(super) fn render_failure(refusal: InstallFailure) -> Response {
    let (status, result, title, what, next) = match &refusal {
        InstallFailure::Denied => (
            StatusCode::FORBIDDEN,
            "denied",
            "The install was cancelled",
            "The request was not approved in Slack. Nothing was installed or stored.",
            "To install EnableBot, try again. In some workspaces only admins can approve apps.",
        ),
        InstallFailure::BadState => (
            StatusCode::BAD_REQUEST,
            "bad_state",
            "This install link has expired",
            "A link from Slack works once, for ten minutes, and only in the browser that started the install. Nothing was stored.",
            "Try again in this browser with cookies allowed.",
        ),
        InstallFailure::BadCode(_) => (
            StatusCode::BAD_REQUEST,
            "bad_code",
            "Slack did not confirm the install",
            "Slack rejected the code from your browser; it may have been used already. Nothing was stored.",
            "Try again. If it fails again, ask your operator to check the server log.",
        ),
        InstallFailure::NotAllowed(_) => (
            StatusCode::FORBIDDEN,
            "not_allowed",
            "This workspace may not use EnableBot here",
            "The operator of this server decides which workspaces and organisations may install EnableBot. Nothing was stored.",
            "",
        ),
        InstallFailure::SlackUnavailable(_) => (
            StatusCode::BAD_GATEWAY,
            "slack_unavailable",
            "Slack is not responding",
            "Slack could not confirm the install. Nothing was stored.",
            "Wait a minute, then try again.",
        ),
        InstallFailure::Database(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "The database is not responding",
            "The install could not be saved. Nothing was stored.",
            "Wait a minute, then try again. If the problem persists, contact your operator.",
        ),
    };
    let asking = match &refusal {
        InstallFailure::NotAllowed(tenant_id) => {
            tracing::warn!(%tenant_id, "install refused");
            Some(format!(
                "Ask the operator to allow {tenant_id}, then try again. Until then, remove the app in Slack."
            ))
        }
        _ => None,
    };
    let next = asking.as_deref().unwrap_or(next);
    tracing::warn!(error = %refusal, "install failed");
    metrics::counter!("enablebot_installs_total", "result" => result).increment(1);
    let action = Some(ActionLink { href: "/slack/install", label: "Try again" });
    render_page(status, &ErrorPage { title, detail: what, next_step: next, action })
}
