//! Test controls for organisations and tokens.

use anyhow::Context;
use url::Url;

use crate::consent::{self, ConsentDecision};
use crate::fake_slack::{AppInstallation, InstallGrant};
use crate::simulator::Simulator;

impl Simulator {
    /// Makes workspaces an organisation (Enterprise Grid); those that are not there are added as
    /// [`Simulator::add_team`]
    /// does. Ids begin with `E`, as in `E0ORG`.
    pub fn add_enterprise(&self, id: &str, name: &str, teams: &[&str]) {
        self.with(|slack| slack.add_enterprise(id, name, teams));
    }

    /// Answers a consent page as an org admin does who allows the app for the whole organisation: the address
    /// the
    /// browser is sent to. The app is in no workspace before [`Simulator::grant_team`].
    pub fn allow_org_wide(&self, authorize_url: &str, enterprise: &str) -> anyhow::Result<String> {
        self.with(|slack| {
            let org =
                slack.enterprises.get(enterprise).with_context(|| format!("no enterprise {enterprise}"))?;
            let team = org.teams.first().context("an organisation without a team")?;
            let mut url = Url::parse(authorize_url)?;
            url.query_pairs_mut().append_pair("team", team);
            consent::decide(slack, url.as_str(), ConsentDecision::AllowOrgWide)
        })
    }

    /// Installs the app org-wide past OAuth, allowed by the admin of the first of its workspaces.
    pub fn install_org_wide(&self, enterprise: &str, scopes: &[&str]) -> anyhow::Result<AppInstallation> {
        self.with(|slack| {
            let org =
                slack.enterprises.get(enterprise).with_context(|| format!("no enterprise {enterprise}"))?;
            let team = org.teams.first().context("an organisation without a team")?.clone();
            let user = slack.find_admin(&team).with_context(|| format!("no admin in {team}"))?;
            let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            let enterprise = Some(enterprise.to_owned());
            let grant = InstallGrant { team, enterprise, user, scopes, redirect_uri: String::new() };
            slack.install(grant).context("no installation")
        })
    }

    /// Adds the app, installed org-wide, to a workspace; the app gets `team_access_granted`.
    pub fn grant_team(&self, enterprise: &str, team: &str) -> anyhow::Result<()> {
        self.with(|slack| slack.grant_team(enterprise, team))
    }

    /// Takes the app out of a workspace of the organisation; the app gets `team_access_revoked`.
    pub fn revoke_team(&self, enterprise: &str, team: &str) -> anyhow::Result<()> {
        self.with(|slack| slack.revoke_team(enterprise, team))
    }

    /// Expires the tokens of a team or an organisation now; calls return `token_expired`.
    pub fn expire_tokens(&self, team: &str) {
        self.with(|slack| {
            let tenant = slack.resolve_tenant(team);
            slack.tokens.expire(&tenant);
        });
    }

    /// Revokes the tokens of a team or an organisation without an uninstall; calls return `token_revoked`,
    /// and the app
    /// gets `tokens_revoked` alone.
    pub fn revoke_tokens(&self, team: &str) {
        self.with(|slack| slack.revoke_tokens(team, "token_revoked"));
    }
}
