//! How a method says no.

use serde_json::{Value, json};

/// What a method answers: an object without `ok`, or why not.
pub(crate) type Answer = Result<Value, Refusal>;

/// An answer with `"ok": false`.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: &'static str,
    /// Further keys of the answer.
    pub(crate) more: Value,
    /// Makes it a 429, to be tried again after so many seconds.
    pub(crate) retry_after: Option<u64>,
}

impl From<&'static str> for Refusal {
    fn from(error: &'static str) -> Self {
        Self { error, more: json!({}), retry_after: None }
    }
}

impl Refusal {
    /// `error`, with a line for the developer as Slack adds it.
    pub(crate) fn explained(error: &'static str, line: impl std::fmt::Display) -> Self {
        let more = json!({"response_metadata": {"messages": [format!("[ERROR] {line}")]}});
        Self { error, more, retry_after: None }
    }

    /// The token lacks what the method needs.
    pub(crate) fn missing_scope(needed: &str, provided: String) -> Self {
        let more = json!({"needed": needed, "provided": provided});
        Self { error: "missing_scope", more, retry_after: None }
    }

    /// Too often; HTTP 429.
    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        Self { error: "ratelimited", more: json!({}), retry_after: Some(retry_after) }
    }

    /// The answer's body.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({"ok": false, "error": self.error});
        if let (Some(body), Some(more)) = (body.as_object_mut(), self.more.as_object()) {
            body.extend(more.clone());
        }
        body
    }
}
