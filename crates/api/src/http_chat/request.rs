//! Reads and validates the body of a request.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;
use super::problem_kind::ProblemKind;
use super::service::ChatService;
use super::types::ChatRequest;
use crate::extract;

/// The longest message in bytes.
const MAX_CHAT_MESSAGE_BYTES: usize = 64 * 1024;

/// The largest body in bytes: JSON may need six bytes for a character.
const MAX_CHAT_BODY_BYTES: usize = 512 * 1024;

impl FromRequest<Arc<ChatService>> for ChatRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<ChatService>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "Send JSON, with `Content-Type: application/json`.";
            return Err(Problem::new(ProblemKind::NotJson, detail));
        }
        let body = extract::read_body(request, MAX_CHAT_BODY_BYTES).await.map_err(body_problem)?;
        serde_json::from_slice::<Self>(&body)
            .map_err(|error| bad_request(format!("The body is not the expected JSON: {error}.")))?
            .validate()
    }
}

impl ChatRequest {
    fn validate(self) -> Result<Self, Problem> {
        if self.message.trim().is_empty() {
            return Err(bad_request("The message is empty. Set `message` to your question."));
        }
        if self.message.len() > MAX_CHAT_MESSAGE_BYTES {
            let limit = MAX_CHAT_MESSAGE_BYTES / 1024;
            return Err(bad_request(format!("The message has more than {limit} KiB. Shorten it.")));
        }
        Ok(self)
    }
}

fn body_problem(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = MAX_CHAT_BODY_BYTES / 1024;
            let detail = format!("The body has more than {limit} KiB. Send a smaller one.");
            Problem::new(ProblemKind::TooLarge, detail)
        }
        StatusCode::REQUEST_TIMEOUT => {
            Problem::new(ProblemKind::Late, "The body did not arrive within 20 seconds. Send it again.")
        }
        _ => bad_request("The body is incomplete. Send it again."),
    }
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::BadRequest, detail)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<ChatRequest, String> {
        let request: Result<ChatRequest, _> = serde_json::from_str(body);
        request.map_err(|error| error.to_string())?.validate().map_err(|problem| problem.detail)
    }

    #[test]
    fn chat_request_is_validated() {
        let request = read(r#"{"message":"Hi","stream":true}"#).unwrap();
        assert!(request.stream && request.user_id.is_none() && request.conversation_id.is_none());
        assert!(!read(r#"{"message":"Hi","user_id":null}"#).unwrap().stream);
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(MAX_CHAT_MESSAGE_BYTES + 1));
        for (body, expected) in [
            ("{", "EOF"),
            ("{}", "missing field `message`"),
            (r#"{"message":" \n"}"#, "is empty"),
            (r#"{"message":"Hi","conversationId":"c_1"}"#, "unknown field `conversationId`"),
            (&long, "more than 64 KiB"),
        ] {
            let detail = read(body).unwrap_err();
            assert!(detail.contains(expected), "{detail}");
        }
    }
}
