//! Resolves the workspace that a call is about.
//! Source: <https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>

use super::WebApiError;
use super::invocation::Invocation;
use super::methods::Method;
use crate::fake_slack::Enterprise;

/// An org-wide token cannot give a channel by name
/// (<https://docs.slack.dev/reference/methods/chat.startStream>).
fn channel_error(channel: &str) -> &'static str {
    if channel.starts_with(['C', 'D', 'U', 'W']) { "channel_not_found" } else { "team_not_found" }
}

impl Invocation<'_> {
    /// Sets the workspace: the token's own, or for an org-wide install the one that the arguments name.
    /// `team_id` counts only where nothing else does, and not at all with the token of one workspace.
    pub(crate) fn resolve_team(&mut self, method: &Method) -> Result<(), WebApiError> {
        let Some(enterprise) = self.slack.enterprises.get(&self.tenant) else {
            self.team = self.tenant.clone();
            return Ok(());
        };
        let argument = |name| self.args.text(name).filter(|value: &&str| !value.is_empty());
        let named = argument("team_id").or_else(|| argument("team").filter(|_| method.name == "team.info"));
        if method.needs_team() && named.is_none() {
            return Err(WebApiError::with_message("missing_argument", "missing required field: team_id"));
        }
        let place = ["channel", "channel_id"].into_iter().find_map(argument);
        let team = match (place, named) {
            (Some(place), _) => Some(self.find_team_of(enterprise, place).ok_or(channel_error(place))?),
            (None, named) => {
                let person = ["user", "user_id", "users"].into_iter().find_map(argument);
                let team = person.and_then(|user| self.find_team_of(enterprise, user));
                team.or_else(|| named.map(str::to_owned))
            }
        };
        self.team = match team {
            Some(team) if !enterprise.teams.contains(&team) => return Err("team_not_found".into()),
            Some(team) if !enterprise.granted_teams.contains(&team) => {
                return Err("team_access_not_granted".into());
            }
            Some(team) => team,
            None => enterprise.granted_teams.first().cloned().unwrap_or_default(),
        };
        Ok(())
    }

    /// Finds the organisation's team that a channel or a person belongs to.
    fn find_team_of(&self, enterprise: &Enterprise, id: &str) -> Option<String> {
        let teams = enterprise.teams.iter().filter_map(|team| self.slack.teams.get(team));
        let home =
            teams.into_iter().find(|team| team.channels.contains_key(id) || team.find_person(id).is_some());
        home.map(|team| team.id.clone())
    }
}
