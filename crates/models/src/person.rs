//! The people who use the bot.

use serde::{Deserialize, Serialize};

/// A person's relation to the workspace. It decides whether the bot replies, and how far their text is
/// trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affiliation {
    /// A member of the workspace or its organisation.
    Member,
    /// A guest of the workspace.
    Guest,
    /// A person of another organisation, through Slack Connect.
    External,
    /// Another bot that writes as a user.
    Bot,
}

impl Affiliation {
    /// Returns the name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Guest => "guest",
            Self::External => "external",
            Self::Bot => "bot",
        }
    }

    /// Returns true if what they write is not trusted: people of other organisations, and bots.
    pub fn is_outside(self) -> bool {
        matches!(self, Self::External | Self::Bot)
    }
}

impl From<&str> for Affiliation {
    /// Parses the name in the database. An unknown name becomes `External`, the least trusted.
    fn from(name: &str) -> Self {
        match name {
            "member" => Self::Member,
            "guest" => Self::Guest,
            "bot" => Self::Bot,
            _ => Self::External,
        }
    }
}

/// A person, as Slack describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their relation to the workspace.
    pub affiliation: Affiliation,
    /// Their display name.
    pub name: String,
    /// True for admins of the workspace.
    pub is_admin: bool,
    /// Other known details.
    pub profile: EmployeeProfile,
}

/// A person's details in the company. Unknown fields are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmployeeProfile {
    /// The name they prefer, if it differs from the one in Slack.
    pub name: String,
    /// Their job title.
    pub role: String,
    /// Their department.
    pub department: String,
    /// Their location.
    pub location: String,
}

impl EmployeeProfile {
    /// Fills the empty fields from `other`.
    pub fn or(self, other: Self) -> Self {
        let non_empty = |own: String, other: String| if own.is_empty() { other } else { own };
        Self {
            name: non_empty(self.name, other.name),
            role: non_empty(self.role, other.role),
            department: non_empty(self.department, other.department),
            location: non_empty(self.location, other.location),
        }
    }
}
