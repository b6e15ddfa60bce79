//! Errors of requests to the model.

use std::time::Duration;

use async_openai::error::OpenAIError;
use reqwest::StatusCode;

/// A failed request to the model. It omits the server's own message, which may quote keys and prompts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A temporary failure.
    #[error("{reason}")]
    Retry {
        /// The cause, for the log.
        reason: String,
        /// The minimum wait before the next attempt, if known.
        after: Option<Duration>,
    },
    /// The server answered 429 and asked for a pause.
    #[error("{reason}")]
    Throttled {
        /// The cause, for the log.
        reason: String,
        /// The length of the pause.
        after: Duration,
    },
    /// The server sent nothing within the idle timeout.
    #[error("the model's server timed out")]
    Timeout,
    /// The server rejects this request; a retry would not help.
    #[error("{0}")]
    InvalidRequest(String),
    /// The key, the address or the model's name is wrong.
    #[error("{0}")]
    Misconfigured(String),
}

impl ModelError {
    pub(crate) fn retry(reason: impl ToString) -> Self {
        Self::Retry { reason: reason.to_string(), after: None }
    }
}

/// The pause that the server asked for with 429.
#[derive(Debug, thiserror::Error)]
#[error("the model's server answered 429")]
pub(crate) struct Throttled(pub(crate) Duration);

/// Converts an error without its message, in which servers quote keys and prompts.
pub(crate) fn classify(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::ApiError(response) => {
            let code = response.api_error.code.or(response.api_error.r#type).unwrap_or_default();
            let reason = format!("the model's server answered {} {code}", response.status_code.as_u16());
            match response.status_code {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    ModelError::Misconfigured(reason)
                }
                StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY => ModelError::InvalidRequest(reason),
                _ => ModelError::retry(reason),
            }
        }
        OpenAIError::Reqwest(error) => {
            ModelError::retry(format!("request to the model's server failed: {error}"))
        }
        OpenAIError::StreamError(_) => ModelError::retry("the model's stream was cut off"),
        OpenAIError::Boxed(error) => match error.downcast_ref() {
            Some(throttled @ Throttled(after)) => {
                ModelError::Throttled { reason: throttled.to_string(), after: *after }
            }
            None => ModelError::retry("request to the model's server failed"),
        },
        OpenAIError::JSONDeserialize(..) => ModelError::retry("the model's server sent an invalid response"),
        _ => ModelError::retry("request to the model's server failed"),
    }
}
