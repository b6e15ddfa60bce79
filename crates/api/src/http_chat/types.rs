//! The types of requests and responses. The documentation is generated from them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message to the assistant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// The message; at most 64 KiB.
    #[schema(min_length = 1, max_length = 65536, example = "What changed in our travel rules?")]
    pub(crate) message: String,
    /// The Slack id of the person who asks. The model is told their name, and the usage is counted for them.
    /// Requires a key with the scope `chat:people`.
    #[schema(example = "U012AB3CD")]
    pub(crate) user_id: Option<String>,
    /// The conversation to continue; without it a new one starts. It belongs to the person it was started for
    /// or, without a person, to the key.
    #[schema(example = "c_0199a5b2c3d47e6f8091a2b3c4d5e6f7")]
    pub(crate) conversation_id: Option<String>,
    /// True to send the answer while it is written, as server-sent events.
    #[serde(default)]
    pub(crate) stream: bool,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatAnswer {
    /// The answer's text, as Markdown.
    #[schema(example = "Trains are booked directly, up to 200 €.")]
    pub(crate) answer: String,
    #[serde(flatten)]
    pub(crate) end: ChatEnd,
}

/// The facts about an answer: the data of the event `done`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatEnd {
    /// Send it with the next message to continue the conversation.
    #[schema(example = "c_0199a5b2c3d47e6f8091a2b3c4d5e6f7")]
    pub(crate) conversation_id: String,
    /// The answer's id, also in the workspace's audit log.
    #[schema(example = "m_0199a5b2c3d47e6f8091a2b3c4d5e6f8")]
    pub(crate) message_id: String,
    /// The model that answered.
    #[schema(example = "gpt-5-mini")]
    pub(crate) model: String,
    /// False if the model ended early: at its length limit, or by its content filter.
    pub(crate) complete: bool,
    pub(crate) usage: ChatUsage,
}

/// The tokens of an answer, as the model counts them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatUsage {
    /// Tokens of the prompt.
    pub(crate) prompt_tokens: i64,
    /// Tokens of the answer.
    pub(crate) completion_tokens: i64,
}

/// The next piece of an answer: the data of the event `delta`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatDelta {
    /// The text to append.
    #[schema(example = "Trains are")]
    pub(crate) text: String,
}

/// One of the events in which an answer is sent with `stream`. This type only serves the documentation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documented here, written by axum")]
pub(crate) struct ChatEvent {
    /// `delta`, `done` or `error`.
    #[schema(example = "delta")]
    event: String,
    /// JSON: a `ChatDelta`, the `ChatEnd`, or a `Problem`.
    #[schema(example = "{\"text\":\"Trains are\"}")]
    data: String,
}
