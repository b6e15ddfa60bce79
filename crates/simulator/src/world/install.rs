//! Codes, tokens, and what an install and an uninstall change.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use uuid::Uuid;

use super::team::Installation;
use super::{Change, World};

/// A code can be exchanged for ten minutes (<https://docs.slack.dev/authentication/installing-with-oauth>).
const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// What a person allowed, or is asked to.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) team: String,
    pub(crate) user: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) redirect_uri: String,
}

/// A code on its way to `oauth.v2.access`.
pub(crate) struct Code {
    pub(crate) grant: Grant,
    issued: Instant,
}

impl World {
    /// A single-use code for what was allowed.
    pub(crate) fn issue_code(&mut self, grant: Grant) -> String {
        self.codes.retain(|_, code| code.issued.elapsed() < CODE_LIFETIME);
        let code = format!("1000000001.{}", Uuid::new_v4().simple());
        self.codes.insert(code.clone(), Code { grant, issued: Instant::now() });
        code
    }

    /// Takes a code out; a second time, or too late, there is none.
    pub(crate) fn take_code(&mut self, code: &str) -> Option<Grant> {
        self.codes.remove(code).filter(|code| code.issued.elapsed() < CODE_LIFETIME).map(|code| code.grant)
    }

    /// Installs the app, or adds scopes to its installation, whose token then stays as it is.
    /// The bot joins `#general` and gets a DM with each person.
    pub(crate) fn install(&mut self, grant: Grant) -> Option<Installation> {
        let team = self.teams.get_mut(&grant.team)?;
        let fresh = || Installation {
            token: format!("xoxb-1000000001-{}", Uuid::new_v4().simple()),
            bot_id: format!("B0BOT{}", grant.team.trim_start_matches('T')),
            bot_user_id: format!("U0BOT{}", grant.team.trim_start_matches('T')),
            scopes: BTreeSet::new(),
            installed_by: grant.user.clone(),
        };
        let installation = team.installation.get_or_insert_with(fresh);
        installation.scopes.extend(grant.scopes);
        installation.installed_by = grant.user;
        let installation = installation.clone();
        for user in team.people.iter().map(|person| person.id.clone()).collect::<Vec<_>>() {
            team.open_dm(&user);
        }
        for channel in team.channels.values_mut() {
            channel.bot_is_member |= channel.name.as_deref() == Some("general");
        }
        self.tokens.insert(installation.token.clone(), (grant.team.clone(), None));
        self.changed(Change::Team { team: grant.team });
        Some(installation)
    }

    /// The person who may install apps.
    pub(crate) fn admin_of(&self, team: &str) -> Option<String> {
        self.teams.get(team)?.people.iter().find(|person| person.is_admin).map(|person| person.id.clone())
    }

    /// Lets the bot into a channel (id or name).
    pub(crate) fn invite(&mut self, team_id: &str, channel: &str) -> anyhow::Result<()> {
        let team = self.teams.get(team_id).with_context(|| format!("no team {team_id}"))?;
        let id = team.find_channel(channel).with_context(|| format!("no channel {channel}"))?.id.clone();
        if let Some(channel) = self.channel_mut(team_id, &id) {
            channel.bot_is_member = true;
        }
        self.changed(Change::Team { team: team_id.to_owned() });
        Ok(())
    }

    /// Ends the installation: the token answers `why` from now on, and the app is told in two events.
    pub(crate) fn uninstall(&mut self, team_id: &str, why: &'static str) {
        let Some(bot) = self.teams.get(team_id).and_then(|team| team.installation.clone()) else { return };
        // Slack names users here, not tokens, and promises no order of the two.
        let revoked = json!({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [bot.bot_user_id]}});
        for mut event in [json!({"type": "app_uninstalled"}), revoked] {
            event["event_ts"] = json!(self.next_ts());
            self.announce(team_id, team_id, false, event);
        }
        self.tokens.insert(bot.token, (team_id.to_owned(), Some(why)));
        if let Some(team) = self.teams.get_mut(team_id) {
            team.installation = None;
            team.sessions.clear();
            for channel in team.channels.values_mut() {
                channel.bot_is_member = channel.person.is_some();
                channel.messages.values_mut().for_each(|message| message.streaming = false);
            }
        }
        self.changed(Change::Team { team: team_id.to_owned() });
    }
}
