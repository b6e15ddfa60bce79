//! What a key for `POST /api/chat` allows.

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiScope {
    /// To ask.
    Chat,
    /// To say for which person of the workspace it asks.
    ChatPeople,
}

impl ApiScope {
    /// All of them.
    pub const ALL_SCOPES: [Self; 2] = [Self::Chat, Self::ChatPeople];

    /// The word in the database, and in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::ChatPeople => "chat:people",
        }
    }

    /// The scopes of these words; a word of a later version allows nothing here.
    pub fn parse_known(words: &[String]) -> Vec<Self> {
        Self::ALL_SCOPES.into_iter().filter(|scope| words.iter().any(|word| word == scope.as_str())).collect()
    }
}
