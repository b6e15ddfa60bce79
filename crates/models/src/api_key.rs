//! The scopes of an API key.

/// A permission of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiScope {
    /// Ask questions.
    Chat,
    /// Ask on behalf of a person of the workspace.
    ChatPeople,
}

impl ApiScope {
    /// All scopes.
    pub const ALL_SCOPES: [Self; 2] = [Self::Chat, Self::ChatPeople];

    /// Returns the scope's name in the database and the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::ChatPeople => "chat:people",
        }
    }

    /// Returns the scopes with these names. A name that a later version added is skipped and allows nothing.
    pub fn parse_known(names: &[String]) -> Vec<Self> {
        Self::ALL_SCOPES.into_iter().filter(|scope| names.iter().any(|name| name == scope.as_str())).collect()
    }
}
