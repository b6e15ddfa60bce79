//! Why a model did not answer, and what follows from it.

use std::time::Duration;

use async_openai::error::OpenAIError;
use reqwest::StatusCode;

/// Why a model did not answer. What its server says in words is left out: it may quote keys and prompts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Later it may work; not before this time, if somebody said so.
    #[error("{reason}")]
    Retry {
        /// For the log.
        reason: String,
        /// How long to wait at least.
        after: Option<Duration>,
    },
    /// It asked for a pause.
    #[error("{reason}")]
    Throttled {
        /// For the log.
        reason: String,
        /// How long the pause is.
        after: Duration,
    },
    /// It said nothing, for longer than it may.
    #[error("the model stayed silent for too long")]
    Timeout,
    /// It does not take this question, however often it is asked.
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

/// What the server said with 429 about the time to wait.
#[derive(Debug, thiserror::Error)]
#[error("the model's server answered 429")]
pub(crate) struct Throttled(pub(crate) Duration);

/// Reads an error without its message: servers quote keys and prompts in it.
pub(crate) fn classify(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::ApiError(answer) => {
            let code = answer.api_error.code.or(answer.api_error.r#type).unwrap_or_default();
            let reason = format!("the model's server answered {} {code}", answer.status_code.as_u16());
            match answer.status_code {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    ModelError::Misconfigured(reason)
                }
                StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY => ModelError::InvalidRequest(reason),
                _ => ModelError::retry(reason),
            }
        }
        OpenAIError::Reqwest(error) => ModelError::retry(format!("the model cannot be reached: {error}")),
        OpenAIError::StreamError(_) => ModelError::retry("the model's answer was cut off"),
        OpenAIError::Boxed(error) => match error.downcast_ref() {
            Some(throttled @ Throttled(after)) => {
                ModelError::Throttled { reason: throttled.to_string(), after: *after }
            }
            None => ModelError::retry("the model cannot be asked"),
        },
        OpenAIError::JSONDeserialize(..) => ModelError::retry("the model's server sent what is no answer"),
        _ => ModelError::retry("the model cannot be asked"),
    }
}
