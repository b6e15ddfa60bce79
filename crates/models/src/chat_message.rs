//! What was said in a thread.

use crate::{Affiliation, UserId};

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A person.
    User,
    /// The bot.
    Assistant,
}

impl Role {
    /// The word that the database and the model use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One side's words in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who spoke.
    pub role: Role,
    /// The person; for the bot's words, the person they answer.
    pub user_id: UserId,
    /// What that person is to the workspace.
    pub affiliation: Affiliation,
    /// The words, as Markdown.
    pub text: String,
}

/// What an answer cost, in the model's own count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that answered.
    pub model: String,
    /// Tokens sent.
    pub prompt_tokens: i64,
    /// Tokens received.
    pub completion_tokens: i64,
}
