//! What goes wrong, as a client is told: `application/problem+json` (RFC 9457). The kinds stand in one table, of which the
//! documentation is made too.

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

use crate::job_error::{MODEL_MISCONFIGURED_TEXT, MODEL_REJECTED_TEXT};

const MEDIA_TYPE: &str = "application/problem+json";

/// What `WWW-Authenticate` says.
const BEARER_CHALLENGE: &str = "Bearer realm=\"EnableBot\"";

/// When to come again where nobody knows better.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// What kind of problem it is; each has a status of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    BadRequest,
    NoKey,
    NotAllowed,
    NoConversation,
    Busy,
    Late,
    TooLarge,
    NotJson,
    OverLimit,
    ModelFailed,
    Unavailable,
    TooSlow,
}

impl ProblemKind {
    const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::NoKey,
        Self::NotAllowed,
        Self::NoConversation,
        Self::Busy,
        Self::Late,
        Self::TooLarge,
        Self::NotJson,
        Self::OverLimit,
        Self::ModelFailed,
        Self::Unavailable,
        Self::TooSlow,
    ];

    /// Its status, its name in `type`, and its title.
    fn definition(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request cannot be answered"),
            Self::NoKey => (StatusCode::UNAUTHORIZED, "no-key", "No key that is good"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not-allowed", "This is not allowed"),
            Self::NoConversation => {
                (StatusCode::NOT_FOUND, "no-conversation", "There is no such conversation")
            }
            Self::Busy => (StatusCode::CONFLICT, "busy", "An answer is being made in this conversation"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "late", "The body did not come in time"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "This is not JSON"),
            Self::OverLimit => (StatusCode::TOO_MANY_REQUESTS, "over-limit", "More is asked than may be"),
            Self::ModelFailed => (StatusCode::BAD_GATEWAY, "model-failed", "The model did not answer"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "too-slow", "The model took too long"),
        }
    }

    /// When it happens and what to do then, for the documentation.
    fn description(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "The body is no JSON of this form, the message is empty or longer than 64 KiB, or `user_id` is nobody's."
            }
            Self::NoKey => {
                "The key is missing, unknown or revoked. A workspace's admins make keys in the dashboard."
            }
            Self::NotAllowed => {
                "The key lacks a scope, the person is of another organisation, or the bot is not at work in the workspace: taken out, or suspended."
            }
            Self::NoConversation => {
                "The conversation is unknown, or another person's or key's. Begin a new one."
            }
            Self::Busy => {
                "The conversation's last question is still being answered. Wait for that answer, then ask again."
            }
            Self::Late => "The body took longer than 20 seconds to come in. Send it again, faster.",
            Self::TooLarge => "The body is larger than 512 KiB.",
            Self::NotJson => "`Content-Type` is not `application/json`.",
            Self::OverLimit => {
                "The workspace's limit, or its budget, is used up, or too many wrong keys came from your address. Nothing was done. Ask again after `Retry-After` seconds."
            }
            Self::ModelFailed => {
                "The model refused the question, broke off, or cannot be reached. Ask again, perhaps in other words."
            }
            Self::Unavailable => {
                "The model or this server cannot answer just now. Ask again after `Retry-After` seconds."
            }
            Self::TooSlow => "The model stayed silent, or did not come to an end. Ask again, or for less.",
        }
    }
}

/// What went wrong, and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem; below this path of the dashboard it is described.
    #[serde(rename = "type")]
    #[schema(example = "/dashboard/api#over-limit")]
    type_uri: String,
    /// The kind in words.
    #[schema(example = "More is asked than may be")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 429)]
    status: u16,
    /// What happened this time, and what to do.
    #[schema(example = "The workspace's limit is used up. Ask again in 12 seconds.")]
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

    /// Says when to come again.
    pub(super) fn with_retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// This replica stops, and somebody waits for an answer.
    pub(crate) fn shutting_down() -> Self {
        Self::new(ProblemKind::Unavailable, "This server is being restarted. Ask again.")
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn log(&self) {
        tracing::info!(error = self.title, "no answer to a program: {}", self.status);
    }
}

/// Whole seconds, never too few.
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
                Self::new(ProblemKind::NotAllowed, "The bot was taken out of the workspace.")
            }
            error => {
                tracing::error!(error = %error, "a program cannot be answered");
                Self::new(ProblemKind::Unavailable, "The database does not answer. Ask again in a moment.")
            }
        }
    }
}

/// Why the model gave no answer.
impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        tracing::warn!(error = %error, "the model gave a program no answer");
        match error {
            ModelError::Throttled { after, .. } | ModelError::Retry { after: Some(after), .. } => {
                let detail = "The model takes no more questions just now. Ask again later.";
                Self::new(ProblemKind::Unavailable, detail).with_retry_after(after)
            }
            ModelError::Timeout => {
                Self::new(ProblemKind::TooSlow, "The model stayed silent for too long. Ask again.")
            }
            ModelError::InvalidRequest(_) => Self::new(ProblemKind::ModelFailed, MODEL_REJECTED_TEXT),
            ModelError::Misconfigured(_) => Self::new(ProblemKind::ModelFailed, MODEL_MISCONFIGURED_TEXT),
            ModelError::Retry { .. } => {
                Self::new(ProblemKind::ModelFailed, "The model broke off, or cannot be reached. Ask again.")
            }
        }
    }
}

fn retry_after_header() -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    HeaderBuilder::new().schema(Some(schema)).description(Some("Seconds after which to ask again.")).build()
}

/// Every kind, for the documentation.
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
