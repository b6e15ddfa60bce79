//! A person of a workspace.

use serde::Serialize;

/// The default time zone.
const DEFAULT_TIME_ZONE: &str = "Europe/London";

/// A person who can write messages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SimulatedUser {
    /// `U…`, unique over all teams.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The full name; if empty it is `name`.
    pub real_name: String,
    /// The job title.
    pub title: String,
    /// A name of the time zone database; if empty it is `Europe/London`.
    pub tz: String,
    /// True if they may install apps.
    pub is_admin: bool,
    /// True if they own the workspace.
    pub is_owner: bool,
    /// True if they are an admin of the workspace's organisation.
    pub is_org_admin: bool,
    /// True if they are a multi-channel guest.
    pub is_restricted: bool,
    /// True if they are a single-channel guest; then `is_restricted` is also set.
    pub is_ultra_restricted: bool,
    /// True if they are another app's bot.
    pub is_bot: bool,
    /// True if their account is deactivated.
    pub is_deactivated: bool,
    /// True if their e-mail address is unverified.
    pub is_unconfirmed: bool,
}

impl SimulatedUser {
    pub(super) fn real_name(&self) -> &str {
        if self.real_name.is_empty() { &self.name } else { &self.real_name }
    }

    pub(super) fn tz(&self) -> &str {
        if self.tz.is_empty() { DEFAULT_TIME_ZONE } else { &self.tz }
    }
}
