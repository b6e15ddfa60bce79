//! Payloads of clicks and commands.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::block_actions::find_action;
use super::response_target::ResponseTarget;
use super::team::{APP_ID, Channel, Team};
use super::{FakeSlack, SlackMessage};

/// The verification token that preceded request signatures.
pub(crate) const VERIFICATION_TOKEN: &str = "deprecated-verification-token";

/// A click on an element.
pub(crate) struct Click<'a> {
    pub(crate) team: &'a str,
    pub(crate) user: &'a str,
    pub(crate) action_id: &'a str,
    /// Required where one element has several buttons.
    pub(crate) value: Option<&'a str>,
}

/// A slash command typed by a person.
pub(crate) struct SlashCommand<'a> {
    pub(crate) team: &'a str,
    pub(crate) user: &'a str,
    /// Its id or name.
    pub(crate) channel: &'a str,
    /// With its slash.
    pub(crate) command: &'a str,
    pub(crate) text: &'a str,
}

/// The app's installation as interactions and commands describe it.
struct InstallationScope {
    /// Id and domain; `None` if an organisation installed the app.
    team: Option<(String, String)>,
    /// Id and name, on Enterprise Grid.
    enterprise: Option<(String, String)>,
}

impl FakeSlack {
    /// Builds the payload for a click in a message that the person sees.
    /// Source: <https://docs.slack.dev/reference/interaction-payloads/block_actions-payload>
    pub(crate) fn click_payload(
        &mut self,
        click: &Click<'_>,
        channel: &str,
        ts: &str,
    ) -> anyhow::Result<Value> {
        let place = self.teams.get(click.team).and_then(|team| team.find_channel(channel));
        let place = place.with_context(|| format!("no channel {channel}"))?;
        let (message, is_ephemeral) =
            place.find_message_for(click.user, ts).with_context(|| format!("no message {ts}"))?;
        let blocks = message.blocks.as_ref().context("the message has no blocks")?;
        let action = find_action(blocks, click.action_id, click.value).context("nothing to click on")?;
        let mut container = json!({
            "type": "message", "message_ts": ts, "channel_id": place.id, "is_ephemeral": is_ephemeral,
        });
        if let Some(root) = &message.thread_ts {
            container["thread_ts"] = json!(root);
        }
        let shown = Value::Object(message.to_json(click.team, &[], true));
        let channel = json!({"id": place.id, "name": place.display_name()});
        let asked = ResponseTarget::new(click.team, &place.id, click.user, Some(ts));
        let mut payload = self.block_actions_payload(click, action)?;
        payload["container"] = container;
        payload["channel"] = channel;
        // Slack stores no ephemeral message and does not include it.
        if !is_ephemeral {
            payload["message"] = shown;
        }
        payload["response_url"] = json!(self.issue_response_url("actions", asked));
        Ok(payload)
    }

    /// Builds the payload for a click in the person's Home tab.
    pub(crate) fn home_click_payload(&mut self, click: &Click<'_>) -> anyhow::Result<Value> {
        let view = self.home(click.team, click.user).context("no Home tab is published")?;
        let action =
            find_action(&view["blocks"], click.action_id, click.value).context("nothing to click on")?;
        let mut payload = self.block_actions_payload(click, action)?;
        payload["container"] = json!({"type": "view", "view_id": view["id"]});
        payload["view"] = view;
        Ok(payload)
    }

    /// Returns the fields of a slash command and the target of its response
    /// (<https://docs.slack.dev/interactivity/implementing-slash-commands>).
    pub(crate) fn command_form(
        &mut self,
        command: &SlashCommand<'_>,
    ) -> anyhow::Result<(Vec<(&'static str, String)>, ResponseTarget)> {
        let team = self.teams.get(command.team).with_context(|| format!("no team {}", command.team))?;
        let place =
            team.find_channel(command.channel).with_context(|| format!("no channel {}", command.channel))?;
        let known = self.find_command(command.team);
        ensure!(known.as_deref() == Some(command.command), "{} is not a valid command", command.command);
        let person = team.find_person(command.user).with_context(|| format!("no person {}", command.user))?;
        let asked = ResponseTarget::new(command.team, &place.id, command.user, None);
        let mut fields = vec![
            ("token", VERIFICATION_TOKEN.to_owned()),
            ("team_id", team.id.clone()),
            ("team_domain", team.domain()),
            ("channel_id", place.id.clone()),
            ("channel_name", place.display_name().to_owned()),
            ("user_id", person.id.clone()),
            ("user_name", person.name.to_lowercase()),
            ("command", command.command.to_owned()),
            ("text", command.text.to_owned()),
            ("api_app_id", APP_ID.to_owned()),
            ("trigger_id", new_trigger_id()),
        ];
        let installed = self.installation_scope(command.team)?;
        fields.push(("is_enterprise_install", installed.team.is_none().to_string()));
        if let Some((id, name)) = installed.enterprise {
            fields.extend([("enterprise_id", id), ("enterprise_name", name)]);
        }
        fields.push(("response_url", self.issue_response_url("commands", asked.clone())));
        Ok((fields, asked))
    }

    /// Returns the app's only slash command, if the installation includes it.
    pub(crate) fn find_command(&self, team: &str) -> Option<String> {
        let bot = self.teams.get(team)?.installation.as_ref()?;
        let name = || format!("/{}", self.settings.app_name.to_lowercase().replace(' ', "-"));
        bot.scopes.contains("commands").then(name)
    }

    /// Builds the fields common to all clicks.
    fn block_actions_payload(&mut self, click: &Click<'_>, mut action: Value) -> anyhow::Result<Value> {
        action["action_ts"] = json!(self.next_ts());
        let installed = self.installation_scope(click.team)?;
        let home = self.find_home_team(click.user).with_context(|| format!("no person {}", click.user))?;
        let name = home.find_person(click.user).map(|person| person.name.to_lowercase());
        Ok(json!({
            "type": "block_actions",
            "user": {"id": click.user, "username": name, "name": name, "team_id": home.id},
            "api_app_id": APP_ID,
            "token": VERIFICATION_TOKEN,
            "trigger_id": new_trigger_id(),
            "is_enterprise_install": installed.team.is_none(),
            "team": installed.team.map(|(id, domain)| json!({"id": id, "domain": domain})),
            "enterprise": installed.enterprise.map(|(id, name)| json!({"id": id, "name": name})),
            "state": {"values": {}},
            "actions": [action],
        }))
    }

    /// Returns the tenant whose installation serves a team.
    fn installation_scope(&self, id: &str) -> anyhow::Result<InstallationScope> {
        let team = self.teams.get(id).with_context(|| format!("no team {id}"))?;
        let bot = team.installation.as_ref().context("the app is not installed")?;
        let team = (!bot.is_enterprise_install).then(|| (team.id.clone(), team.domain()));
        let enterprise = self.find_enterprise(id).map(|org| (org.id.clone(), org.name.clone()));
        Ok(InstallationScope { team, enterprise })
    }
}

impl Team {
    /// Returns the workspace's subdomain.
    fn domain(&self) -> String {
        self.name.to_lowercase().replace(' ', "-")
    }
}

impl Channel {
    /// Returns the channel name used in interactions; a DM has no name of its own.
    fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or("directmessage")
    }

    /// Finds a message that the person sees, and whether it is ephemeral.
    fn find_message_for(&self, user: &str, ts: &str) -> Option<(&SlackMessage, bool)> {
        if self.person.as_ref().is_some_and(|person| person != user) {
            return None;
        }
        let private = || self.ephemerals.iter().find(|(to, message)| to == user && message.ts == ts);
        let public = self.messages.get(ts).map(|message| (message, false));
        public.or_else(|| private().map(|(_, message)| (message, true)))
    }
}

/// Returns a trigger id, valid for three seconds, that opens a modal.
fn new_trigger_id() -> String {
    format!("1000000001.2000000001.{}", Uuid::new_v4().simple())
}
