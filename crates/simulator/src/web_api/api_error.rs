//! Error responses of methods.

use serde_json::{Value, json};

/// Result of a method: an object without `ok`, or an error.
pub(crate) type WebApiResult = Result<Value, WebApiError>;

/// A response with `"ok": false`.
#[derive(Debug)]
pub(crate) struct WebApiError {
    pub(crate) error: &'static str,
    /// Further keys of the response.
    pub(crate) details: Value,
    /// Seconds of `Retry-After`; makes the response a 429.
    pub(crate) retry_after: Option<u64>,
}

impl From<&'static str> for WebApiError {
    fn from(error: &'static str) -> Self {
        Self { error, details: json!({}), retry_after: None }
    }
}

impl WebApiError {
    /// Adds the developer message that Slack sends with `error`.
    pub(crate) fn with_message(error: &'static str, line: impl std::fmt::Display) -> Self {
        let details = json!({"response_metadata": {"messages": [format!("[ERROR] {line}")]}});
        Self { error, details, retry_after: None }
    }

    /// The token lacks a scope that the method needs.
    pub(crate) fn missing_scope(needed: &str, provided: String) -> Self {
        let details = json!({"needed": needed, "provided": provided});
        Self { error: "missing_scope", details, retry_after: None }
    }

    /// Rate limited; HTTP 429.
    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        Self { error: "ratelimited", details: json!({}), retry_after: Some(retry_after) }
    }

    /// Returns the response body.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({"ok": false, "error": self.error});
        if let (Some(body), Some(more)) = (body.as_object_mut(), self.details.as_object()) {
            body.extend(more.clone());
        }
        body
    }
}
