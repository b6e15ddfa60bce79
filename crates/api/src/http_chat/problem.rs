//! The error response: `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use db::DbError;
use llm::ModelError;
use serde::Serialize;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::problem_kind::ProblemKind;
use crate::job::error::{MODEL_MISCONFIGURED_TEXT, MODEL_REJECTED_TEXT};

const MEDIA_TYPE: &str = "application/problem+json";

/// The value of `WWW-Authenticate`.
const BEARER_CHALLENGE: &str = "Bearer realm=\"EnableBot\"";

/// The retry delay if no better one is known.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// An error, and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The kind of problem, as a path of the dashboard that describes it.
    #[serde(rename = "type")]
    #[schema(example = "/dashboard/api#over-limit")]
    type_uri: String,
    /// The name of the kind.
    #[schema(example = "Limit exceeded")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 429)]
    status: u16,
    /// The error in detail, and what to do.
    #[schema(example = "The workspace's rate limit is used up. Try again in 12 seconds.")]
    pub(super) detail: String,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.definition();
        Self {
            type_uri: format!("/dashboard/api#{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: (kind == ProblemKind::Unavailable).then_some(UNAVAILABLE_RETRY_AFTER),
        }
    }

    /// Sets the time after which to try again.
    pub(super) fn with_retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// Returns the problem for clients that wait while this replica shuts down.
    pub(crate) fn shutting_down() -> Self {
        Self::new(ProblemKind::Unavailable, "This server is being restarted. Try again.")
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn log(&self) {
        tracing::info!(error = self.title, "chat request failed: {}", self.status);
    }
}

/// Rounds up to whole seconds, at least one.
pub(super) fn ceil_seconds(pause: Duration) -> u64 {
    pause.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let headers = [(CONTENT_TYPE, MEDIA_TYPE), (CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, body).into_response();
        if let Some(pause) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, ceil_seconds(pause).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(BEARER_CHALLENGE));
        }
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NotInstalled => {
                Self::new(ProblemKind::NotAllowed, "The bot is not installed in the workspace.")
            }
            error => {
                tracing::error!(error = %error, "chat request failed");
                Self::new(ProblemKind::Unavailable, "The database does not respond. Try again in a moment.")
            }
        }
    }
}

/// The problem for each error of the model.
impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        tracing::warn!(error = %error, "model request failed");
        match error {
            ModelError::Throttled { after, .. } | ModelError::Retry { after: Some(after), .. } => {
                let detail = "The model accepts no more requests at the moment. Try again later.";
                Self::new(ProblemKind::Unavailable, detail).with_retry_after(after)
            }
            ModelError::Timeout => {
                Self::new(ProblemKind::TooSlow, "The model did not respond in time. Try again.")
            }
            ModelError::InvalidRequest(_) => Self::new(ProblemKind::ModelFailed, MODEL_REJECTED_TEXT),
            ModelError::Misconfigured(_) => Self::new(ProblemKind::ModelFailed, MODEL_MISCONFIGURED_TEXT),
            ModelError::Retry { .. } => {
                Self::new(ProblemKind::ModelFailed, "The model broke off, or cannot be reached. Try again.")
            }
        }
    }
}

fn retry_after_header() -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    HeaderBuilder::new().schema(Some(schema)).description(Some("Seconds after which to try again.")).build()
}

/// Documents every kind.
impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let document = |kind: ProblemKind| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response =
                ResponseBuilder::new().description(kind.description()).content(MEDIA_TYPE, content);
            let response = match kind {
                ProblemKind::OverLimit | ProblemKind::Unavailable => {
                    response.header("Retry-After", retry_after_header())
                }
                ProblemKind::NoKey => response.header("WWW-Authenticate", Header::default()),
                _ => response,
            };
            (kind.definition().0.as_u16().to_string(), RefOr::T(response.build()))
        };
        ProblemKind::ALL.map(document).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_kinds_are_distinct() {
        let statuses = ProblemKind::ALL.map(|kind| kind.definition().0);
        let names = ProblemKind::ALL.map(|kind| kind.definition().1);
        for at in 1..ProblemKind::ALL.len() {
            assert!(!statuses[..at].contains(&statuses[at]) && !names[..at].contains(&names[at]));
        }
        assert_eq!(Problem::responses().len(), ProblemKind::ALL.len());
    }

    #[test]
    fn retry_after_rounds_up() {
        let waits = [0, 1, 999, 1000, 1001].map(|millis| ceil_seconds(Duration::from_millis(millis)));
        assert_eq!(waits, [1, 1, 1, 1, 2]);
    }
}
