//! Who is asking.

use serde::{Deserialize, Serialize};

/// What somebody is to the workspace; it decides whether they are answered, and how far their words are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affiliation {
    /// A member of the workspace or its organisation.
    Member,
    /// A guest of the workspace.
    Guest,
    /// Somebody of another organisation, by Slack Connect.
    External,
    /// Another bot, writing as a user.
    Bot,
}

impl Affiliation {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Guest => "guest",
            Self::External => "external",
            Self::Bot => "bot",
        }
    }
}

impl From<&str> for Affiliation {
    /// What is unknown is trusted least.
    fn from(word: &str) -> Self {
        match word {
            "member" => Self::Member,
            "guest" => Self::Guest,
            "bot" => Self::Bot,
            _ => Self::External,
        }
    }
}

/// A person, as Slack knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What they are to the workspace.
    pub affiliation: Affiliation,
    /// What others call them.
    pub name: String,
    /// Whether they administer the workspace.
    pub is_admin: bool,
    /// What else is known of them.
    pub profile: EmployeeProfile,
}

/// What a person is in the company; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmployeeProfile {
    /// How they want to be called, where that is not the name that Slack has.
    pub name: String,
    /// Their position.
    pub role: String,
    /// Their department.
    pub department: String,
    /// Where they are.
    pub location: String,
}

impl EmployeeProfile {
    /// Each part as it stands here, else as in `other`.
    pub fn or(self, other: Self) -> Self {
        let first = |own: String, other: String| if own.is_empty() { other } else { own };
        Self {
            name: first(self.name, other.name),
            role: first(self.role, other.role),
            department: first(self.department, other.department),
            location: first(self.location, other.location),
        }
    }
}
