//! The messages of a thread, as the model reads them.

use crate::{Affiliation, UserId};

/// The author of a chat message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A person.
    User,
    /// The bot.
    Assistant,
}

impl Role {
    /// Returns the role's name in the database and in requests to the model.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a thread: a person's message or the bot's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// The author.
    pub role: Role,
    /// The person who wrote the message, or whom the bot replied to.
    pub user_id: UserId,
    /// That person's relation to the workspace.
    pub affiliation: Affiliation,
    /// The text, as Markdown.
    pub text: String,
}

/// The tokens of one completion, as the model counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that wrote the completion.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// Tokens of the completion.
    pub completion_tokens: i64,
}
