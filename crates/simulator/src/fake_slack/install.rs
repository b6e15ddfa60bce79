//! Install and uninstall: codes, tokens and their effects.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use uuid::Uuid;

use super::install_grant::{InstallCode, InstallGrant};
use super::team::AppInstallation;
use super::{FakeSlack, StateChange};

/// A code can be exchanged for ten minutes (<https://docs.slack.dev/authentication/installing-with-oauth>).
const INSTALL_CODE_LIFETIME: Duration = Duration::from_secs(600);

impl FakeSlack {
    /// Issues a single-use code for a grant.
    pub(crate) fn issue_install_code(&mut self, grant: InstallGrant) -> String {
        self.codes.retain(|_, code| code.issued_at.elapsed() < INSTALL_CODE_LIFETIME);
        let code = format!("1000000001.{}", Uuid::new_v4().simple());
        self.codes.insert(code.clone(), InstallCode { grant, issued_at: Instant::now() });
        code
    }

    /// Consumes a code; returns `None` if it was used before or has expired.
    pub(crate) fn redeem_install_code(&mut self, code: &str) -> Option<InstallGrant> {
        self.codes
            .remove(code)
            .filter(|code| code.issued_at.elapsed() < INSTALL_CODE_LIFETIME)
            .map(|code| code.grant)
    }

    /// Installs the app, or adds scopes to its installation. Its token stays as it is unless tokens rotate.
    /// In a team the bot joins `#general` and gets a DM with each person; org-wide it is in no team yet.
    pub(crate) fn install(&mut self, grant: InstallGrant) -> Option<AppInstallation> {
        let tenant = grant.enterprise.as_ref().unwrap_or(&grant.team).clone();
        let bare = tenant.trim_start_matches(['T', 'E']);
        let mut installation = self.find_installation(&tenant).cloned().unwrap_or_else(|| AppInstallation {
            bot_id: format!("B0BOT{bare}"),
            bot_user_id: format!("U0BOT{bare}"),
            is_enterprise_install: grant.enterprise.is_some(),
            ..AppInstallation::default()
        });
        if installation.token.is_empty() || self.settings.token_lifetime.is_some() {
            let issued = self.tokens.issue(&tenant, self.settings.token_lifetime);
            installation.token = issued.access;
            installation.refresh_token = issued.refresh;
        }
        installation.scopes.extend(grant.scopes);
        installation.installed_by = grant.user;
        self.store_installation(&tenant, installation.clone()).then_some(installation)
    }

    /// Exchanges a single-use refresh token for a new pair; returns its tenant. Slack's grace for a lost
    /// answer is not documented, and there is none here.
    pub(crate) fn refresh_tokens(&mut self, refresh_token: &str) -> Option<String> {
        let tenant = self.tokens.redeem(refresh_token)?;
        let mut installation = self.find_installation(&tenant)?.clone();
        let issued = self.tokens.issue(&tenant, self.settings.token_lifetime);
        installation.token = issued.access;
        installation.refresh_token = issued.refresh;
        self.store_installation(&tenant, installation).then_some(tenant)
    }

    /// Stores an installation with its team, or with the organisation and every team it was added to.
    fn store_installation(&mut self, tenant: &str, installation: AppInstallation) -> bool {
        let Some(enterprise) = self.enterprises.get_mut(tenant) else {
            return self.join_team(tenant, installation);
        };
        enterprise.installation = Some(installation.clone());
        for team in enterprise.granted_teams.clone() {
            self.join_team(&team, installation.clone());
        }
        true
    }

    /// Adds the bot to a team.
    pub(crate) fn join_team(&mut self, id: &str, installation: AppInstallation) -> bool {
        let Some(team) = self.teams.get_mut(id) else { return false };
        team.installation = Some(installation);
        for user in team.people.iter().map(|person| person.id.clone()).collect::<Vec<_>>() {
            team.open_dm(&user);
        }
        for channel in team.channels.values_mut() {
            channel.is_bot_member |= channel.name.as_deref() == Some("general");
        }
        self.notify(StateChange::Team { team: id.to_owned() });
        true
    }

    /// Removes the bot from a team.
    pub(crate) fn leave_team(&mut self, id: &str) {
        let Some(team) = self.teams.get_mut(id) else { return };
        team.installation = None;
        team.sessions.clear();
        for channel in team.channels.values_mut() {
            channel.is_bot_member = channel.person.is_some();
            channel.messages.values_mut().for_each(|message| message.is_streaming = false);
        }
        self.notify(StateChange::Team { team: id.to_owned() });
    }

    /// Returns the person who may install apps.
    pub(crate) fn find_admin(&self, team: &str) -> Option<String> {
        self.teams.get(team)?.people.iter().find(|person| person.is_admin).map(|person| person.id.clone())
    }

    /// Adds the bot to a channel (id or name).
    pub(crate) fn invite(&mut self, team_id: &str, channel: &str) -> anyhow::Result<()> {
        let team = self.teams.get(team_id).with_context(|| format!("no team {team_id}"))?;
        let id = team.find_channel(channel).with_context(|| format!("no channel {channel}"))?.id.clone();
        if let Some(channel) = self.channel_mut(team_id, &id) {
            channel.is_bot_member = true;
        }
        self.notify(StateChange::Team { team: team_id.to_owned() });
        Ok(())
    }

    /// Uninstalls the app from a team or an organisation: tokens answer `why` from now on, and the app is
    /// told in two events, of which Slack promises no order.
    pub(crate) fn uninstall(&mut self, place: &str, why: &'static str) {
        let tenant = self.resolve_tenant(place);
        let event = json!({"type": "app_uninstalled", "event_ts": self.next_ts()});
        self.announce(&tenant, &tenant, false, event);
        self.revoke_tokens(&tenant, why);
    }

    /// Ends the tokens of a team or an organisation, and with them the installation; the app gets
    /// `tokens_revoked`.
    pub(crate) fn revoke_tokens(&mut self, place: &str, why: &'static str) {
        let tenant = self.resolve_tenant(place);
        let Some(bot) = self.find_installation(&tenant) else { return };
        // Slack names users here, not tokens (<https://docs.slack.dev/reference/events/tokens_revoked>).
        let tokens = json!({"oauth": [], "bot": [bot.bot_user_id]});
        let event = json!({"type": "tokens_revoked", "tokens": tokens, "event_ts": self.next_ts()});
        self.announce(&tenant, &tenant, false, event);
        self.tokens.revoke_all(&tenant, why);
        let teams = match self.enterprises.get_mut(&tenant) {
            None => BTreeSet::from([tenant]),
            Some(enterprise) => {
                enterprise.installation = None;
                std::mem::take(&mut enterprise.granted_teams)
            }
        };
        teams.iter().for_each(|team| self.leave_team(team));
    }
}
