//! What goes over the wire, and how a request is read. The documentation is made of these types.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ChatService;
use super::problem::{Problem, ProblemKind};
use crate::extract;

/// The longest message, in bytes.
const MAX_CHAT_MESSAGE_BYTES: usize = 64 * 1024;

/// The longest body: JSON may write a character in six bytes.
const MAX_CHAT_BODY_BYTES: usize = 512 * 1024;

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// What is asked; at most 64 KiB.
    #[schema(min_length = 1, max_length = 65536, example = "What changed in our travel rules?")]
    pub(crate) message: String,
    /// For whom it is asked: the Slack id of a person of the workspace. Their name is told to the model and the usage is
    /// counted for them. Needs a key with the scope `chat:people`.
    #[schema(example = "U012AB3CD")]
    pub(crate) user_id: Option<String>,
    /// Goes on in this conversation; without it a new one begins. It belongs to the person for whom it was begun or,
    /// without a person, to the key.
    #[schema(example = "c_0199a5b2c3d47e6f8091a2b3c4d5e6f7")]
    pub(crate) conversation_id: Option<String>,
    /// Whether the words are sent as they come, as server-sent events.
    #[serde(default)]
    pub(crate) stream: bool,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatAnswer {
    /// The words, as Markdown.
    #[schema(example = "Trains are booked directly, up to 200 €.")]
    pub(crate) answer: String,
    #[serde(flatten)]
    pub(crate) end: ChatEnd,
}

/// All of an answer but its words: the data of the event `done`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatEnd {
    /// Send it with the next message to go on.
    #[schema(example = "c_0199a5b2c3d47e6f8091a2b3c4d5e6f7")]
    pub(crate) conversation_id: String,
    /// Names this answer, also in the workspace's audit log.
    #[schema(example = "m_0199a5b2c3d47e6f8091a2b3c4d5e6f8")]
    pub(crate) message_id: String,
    /// The model that answered.
    #[schema(example = "gpt-5-mini")]
    pub(crate) model: String,
    /// False where the model ended early: at its length limit, or by its content filter.
    pub(crate) complete: bool,
    pub(crate) usage: ChatUsage,
}

/// What an answer cost, in the model's own count.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatUsage {
    /// Tokens read.
    pub(crate) prompt_tokens: i64,
    /// Tokens written.
    pub(crate) completion_tokens: i64,
}

/// The next words of an answer: the data of the event `delta`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatDelta {
    /// They follow right behind those before.
    #[schema(example = "Trains are")]
    pub(crate) text: String,
}

/// One of the events that an answer comes as, with `stream`; of this type only the documentation is made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described, and written by axum")]
pub(crate) struct ChatEvent {
    /// `delta`, `done` or `error`.
    #[schema(example = "delta")]
    event: String,
    /// JSON: a `ChatDelta`, the `ChatEnd`, or a `Problem`.
    #[schema(example = "{\"text\":\"Trains are\"}")]
    data: String,
}

impl FromRequest<Arc<ChatService>> for ChatRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<ChatService>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                ProblemKind::NotJson,
                "Send JSON, with `Content-Type: application/json`.",
            ));
        }
        let body = extract::read_body(request, MAX_CHAT_BODY_BYTES).await.map_err(|status| match status {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                ProblemKind::TooLarge,
                format!("The body has more than {} KiB. Send less.", MAX_CHAT_BODY_BYTES / 1024),
            ),
            StatusCode::REQUEST_TIMEOUT => {
                Problem::new(ProblemKind::Late, "The body did not come in within 20 seconds. Send it again.")
            }
            _ => bad_request("The body broke off. Send it again."),
        })?;
        serde_json::from_slice::<Self>(&body)
            .map_err(|error| bad_request(format!("The body is not the JSON that is expected: {error}.")))?
            .validate()
    }
}

impl ChatRequest {
    fn validate(self) -> Result<Self, Problem> {
        if self.message.trim().is_empty() {
            return Err(bad_request("The message is empty. Write what is asked into `message`."));
        }
        if self.message.len() > MAX_CHAT_MESSAGE_BYTES {
            let most = MAX_CHAT_MESSAGE_BYTES / 1024;
            return Err(bad_request(format!("The message has more than {most} KiB. Shorten it.")));
        }
        Ok(self)
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
        let read: Result<ChatRequest, _> = serde_json::from_str(body);
        read.map_err(|error| error.to_string())?.validate().map_err(|problem| problem.detail)
    }

    #[test]
    fn chat_request_is_validated() {
        let read_one = read(r#"{"message":"Hi","stream":true}"#).unwrap();
        assert!(read_one.stream && read_one.user_id.is_none() && read_one.conversation_id.is_none());
        assert!(!read(r#"{"message":"Hi","user_id":null}"#).unwrap().stream);
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(MAX_CHAT_MESSAGE_BYTES + 1));
        for (body, told) in [
            ("{", "EOF"),
            ("{}", "missing field `message`"),
            (r#"{"message":" \n"}"#, "is empty"),
            (r#"{"message":"Hi","conversationId":"c_1"}"#, "unknown field `conversationId`"),
            (&long, "more than 64 KiB"),
        ] {
            let detail = read(body).unwrap_err();
            assert!(detail.contains(told), "{detail}");
        }
    }
}
