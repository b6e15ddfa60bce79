//! A call of a method: its arguments, its token, and the lookups that methods share.

use super::{Args, WebApiError};
use crate::fake_slack::{AppInstallation, Channel, FakeSlack};

/// A Web API call in progress.
pub(crate) struct Invocation<'w> {
    pub(crate) slack: &'w mut FakeSlack,
    pub(crate) args: Args,
    /// The tenant that owns the token, a team or an organisation; empty for methods without a token.
    pub(crate) tenant: String,
    /// The team that the call is about; empty if there is none.
    pub(crate) team: String,
    /// The token it came with.
    pub(crate) token: String,
    /// Client id and secret from HTTP Basic.
    pub(crate) basic_auth: Option<(String, String)>,
}

impl Invocation<'_> {
    /// Returns the token's installation.
    pub(crate) fn bot(&self) -> Result<&AppInstallation, WebApiError> {
        self.slack.find_installation(&self.tenant).ok_or_else(|| "account_inactive".into())
    }

    /// Builds `missing_scope` with the scopes that the token has.
    pub(crate) fn missing_scope(&self, needed: &str) -> WebApiError {
        let provided =
            self.bot().map(|bot| bot.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(","));
        WebApiError::missing_scope(needed, provided.unwrap_or_default())
    }

    /// Finds a channel of the call's team that the bot is in.
    pub(crate) fn channel(&self, id: &str) -> Result<&Channel, WebApiError> {
        let team = self.slack.teams.get(&self.team).ok_or("team_not_found")?;
        let channel = team.channels.get(id).ok_or("channel_not_found")?;
        if channel.is_bot_member { Ok(channel) } else { Err("not_in_channel".into()) }
    }
}
