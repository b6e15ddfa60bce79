//! Organisations of several workspaces (Enterprise Grid), and apps installed for all of them.
//! Source: <https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::json;

use super::team::{AppInstallation, Enterprise};
use super::{FakeSlack, StateChange};

impl FakeSlack {
    /// Groups teams into an organisation; missing teams are created and named after their id.
    pub(crate) fn add_enterprise(&mut self, id: &str, name: &str, teams: &[&str]) {
        for team in teams {
            let bare = team.trim_start_matches('T').trim_start_matches('0').to_lowercase();
            self.add_team(team, &format!("{name} {bare}"));
            if let Some(team) = self.teams.get_mut(*team) {
                team.enterprise = Some(id.to_owned());
            }
        }
        let enterprise = Enterprise {
            id: id.to_owned(),
            name: name.to_owned(),
            teams: teams.iter().map(|team| (*team).to_owned()).collect(),
            granted_teams: BTreeSet::new(),
            installation: None,
        };
        self.enterprises.insert(id.to_owned(), enterprise);
    }

    /// Finds an organisation by its id or the id of one of its teams.
    pub(crate) fn find_enterprise(&self, id: &str) -> Option<&Enterprise> {
        let of_team = self.teams.get(id).and_then(|team| team.enterprise.as_deref());
        self.enterprises.get(of_team.unwrap_or(id))
    }

    /// Returns whether two teams are the same or belong to one organisation. Otherwise their people are
    /// external to each other.
    pub(crate) fn is_same_organization(&self, one: &str, other: &str) -> bool {
        let enterprise = |team| self.find_enterprise(team).map(|enterprise| &enterprise.id);
        one == other || enterprise(one).is_some_and(|id| enterprise(other) == Some(id))
    }

    /// Finds the installation of a team or an organisation.
    pub(crate) fn find_installation(&self, tenant: &str) -> Option<&AppInstallation> {
        match self.enterprises.get(tenant) {
            Some(enterprise) => enterprise.installation.as_ref(),
            None => self.teams.get(tenant)?.installation.as_ref(),
        }
    }

    /// Returns the tenant whose installation serves a team: the team, or its organisation.
    pub(crate) fn resolve_tenant(&self, team: &str) -> String {
        let org_wide = self.find_installation(team).is_some_and(|bot| bot.is_enterprise_install);
        let enterprise =
            self.find_enterprise(team).filter(|_| org_wide).map(|enterprise| enterprise.id.clone());
        enterprise.unwrap_or_else(|| team.to_owned())
    }

    /// Adds the org-wide app to a workspace; the app gets `team_access_granted`.
    pub(crate) fn grant_team(&mut self, enterprise: &str, team: &str) -> anyhow::Result<()> {
        let org =
            self.enterprises.get_mut(enterprise).with_context(|| format!("no enterprise {enterprise}"))?;
        ensure!(org.teams.contains(team), "{team} is not in {enterprise}");
        let installation = org.installation.clone().context("the app is not installed org-wide")?;
        org.granted_teams.insert(team.to_owned());
        self.join_team(team, installation);
        self.announce_team_access(enterprise, "team_access_granted", team);
        Ok(())
    }

    /// Removes the app from a workspace; the app gets `team_access_revoked`.
    pub(crate) fn revoke_team(&mut self, enterprise: &str, team: &str) -> anyhow::Result<()> {
        let org =
            self.enterprises.get_mut(enterprise).with_context(|| format!("no enterprise {enterprise}"))?;
        ensure!(org.granted_teams.remove(team), "the app is not in {team}");
        self.leave_team(team);
        self.announce_team_access(enterprise, "team_access_revoked", team);
        Ok(())
    }

    /// <https://docs.slack.dev/reference/events/team_access_granted>
    fn announce_team_access(&mut self, enterprise: &str, kind: &str, team: &str) {
        let event = json!({"type": kind, "team_ids": [team], "event_ts": self.next_ts()});
        self.announce(enterprise, enterprise, false, event);
        self.notify(StateChange::Team { team: team.to_owned() });
    }
}
