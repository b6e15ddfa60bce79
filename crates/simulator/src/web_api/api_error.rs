//! How a method says no.

use serde_json::{Value, json};

/// What a method answers: an object without `ok`, or why not.
pub(crate) type WebApiResult = Result<Value, WebApiError>;

/// An answer with `"ok": false`.
#[derive(Debug)]
pub(crate) struct WebApiError {
    pub(crate) error: &'static str,
    /// Further keys of the answer.
    pub(crate) details: Value,
    /// Makes it a 429, to be tried again after so many seconds.
    pub(crate) retry_after: Option<u64>,
}

impl From<&'static str> for WebApiError {
    fn from(error: &'static str) -> Self {
        Self { error, details: json!({}), retry_after: None }
    }
}

impl WebApiError {
    /// `error`, with a line for the developer as Slack adds it.
    pub(crate) fn with_message(error: &'static str, line: impl std::fmt::Display) -> Self {
        let details = json!({"response_metadata": {"messages": [format!("[ERROR] {line}")]}});
        Self { error, details, retry_after: None }
    }

    /// The token lacks what the method needs.
    pub(crate) fn missing_scope(needed: &str, provided: String) -> Self {
        let details = json!({"needed": needed, "provided": provided});
        Self { error: "missing_scope", details, retry_after: None }
    }

    /// Too often; HTTP 429.
    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        Self { error: "ratelimited", details: json!({}), retry_after: Some(retry_after) }
    }

    /// The answer's body.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({"ok": false, "error": self.error});
        if let (Some(body), Some(more)) = (body.as_object_mut(), self.details.as_object()) {
            body.extend(more.clone());
        }
        body
    }
}
