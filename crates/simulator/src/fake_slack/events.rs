//! Events to the app in Slack's envelope (<https://docs.slack.dev/apis/events-api>).

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::interactions::VERIFICATION_TOKEN;
use super::message::SlackMessage;
use super::post::FILE_SHARE_SUBTYPE;
use super::team::APP_ID;
use super::{Effect, FakeSlack};

impl FakeSlack {
    /// Queues the events of a new message: `message`, and `app_mention` if it mentions the bot in a channel.
    pub(crate) fn announce_message(&mut self, team: &str, channel: &str, ts: &str) {
        let Some(event) = self.message_event(team, channel, ts) else { return };
        if self.mentions_bot(team, channel, ts) {
            self.announce_mention(team, channel, ts);
        }
        let foreign = self.find_external_team(team, event["user"].as_str().unwrap_or_default());
        self.announce_in_channel(team, channel, event, foreign.as_deref());
    }

    /// Queues the `app_mention` of a message.
    pub(crate) fn announce_mention(&mut self, team: &str, channel: &str, ts: &str) {
        let Some(mut event) = self.message_event(team, channel, ts) else { return };
        if self.has_scope(team, "app_mentions:read") {
            event["type"] = json!("app_mention");
            let foreign = self.find_external_team(team, event["user"].as_str().unwrap_or_default());
            self.announce_in_channel(team, channel, event, foreign.as_deref());
        }
    }

    fn message_event(&self, team: &str, channel: &str, ts: &str) -> Option<Value> {
        let place = self.teams.get(team)?.channels.get(channel)?;
        let message = place.messages.get(ts)?;
        let mut event = message.to_json(team, &[], true);
        event.insert("channel".into(), json!(channel));
        event.insert("event_ts".into(), json!(ts));
        if let Some(root) = message.thread_ts.as_ref().and_then(|root| place.messages.get(root)) {
            event.insert("parent_user_id".into(), json!(root.user));
        }
        if let Some(home) = self.find_external_team(team, &message.user) {
            for key in ["user_team", "source_team", "team"] {
                event.insert(key.into(), json!(home));
            }
        }
        if message.subtype.as_deref() == Some(FILE_SHARE_SUBTYPE) {
            // slackapi/slack-api-specs#62.
            event.remove("team");
            event.insert("upload".into(), json!(false));
            event.insert("display_as_bot".into(), json!(false));
        }
        Some(Value::Object(event))
    }

    /// Returns whether a message is an `app_mention`. Another bot's message is one, the app's own never
    /// (slackapi/bolt-python#1350), one
    /// with a file only sometimes and here never (#925); in a DM there is none.
    pub(crate) fn mentions_bot(&self, team: &str, channel: &str, ts: &str) -> bool {
        let find = || {
            let team = self.teams.get(team)?;
            let place = team.channels.get(channel).filter(|place| place.person.is_none())?;
            let message = place.messages.get(ts)?;
            let mention = format!("<@{}>", team.installation.as_ref()?.bot_user_id);
            Some(!message.is_own() && message.subtype.is_none() && message.text.contains(&mention))
        };
        find().unwrap_or_default()
    }

    /// Returns the author's team if it belongs to another organisation.
    pub(crate) fn find_external_team(&self, team: &str, user: &str) -> Option<String> {
        self.find_home_team(user)
            .map(|home| home.id.clone())
            .filter(|home| !self.is_same_organization(home, team))
    }

    /// Queues `message_changed` with the previous message.
    pub(crate) fn announce_changed(&mut self, team: &str, channel: &str, before: &SlackMessage) {
        let Some(now) = self.message_mut(team, channel, &before.ts) else { return };
        let event = json!({
            "type": "message", "subtype": "message_changed", "hidden": true, "channel": channel,
            "message": now.to_json(team, &[], true),
            "previous_message": before.to_json(team, &[], true),
        });
        let foreign = self.find_external_team(team, &before.user);
        self.announce_in_channel(team, channel, event, foreign.as_deref());
    }

    /// Queues a channel's event if the bot is a member and may read it.
    pub(crate) fn announce_in_channel(
        &mut self,
        team: &str,
        channel: &str,
        mut event: Value,
        foreign: Option<&str>,
    ) {
        let Some(place) = self.teams.get(team).and_then(|team| team.channels.get(channel)) else { return };
        if !place.is_bot_member {
            return;
        }
        let history = if place.person.is_some() { "im:history" } else { "channels:history" };
        let kind = place.kind();
        let shared = place.is_ext_shared() || foreign.is_some();
        if event["type"] == "message" {
            if !self.has_scope(team, history) {
                return;
            }
            event["channel_type"] = json!(kind);
        }
        if event.get("event_ts").is_none() {
            event["event_ts"] = json!(self.next_ts());
        }
        self.announce(team, foreign.unwrap_or(team), shared, event);
    }

    /// Wraps an event in its envelope and queues the delivery if the app is installed.
    pub(crate) fn announce(&mut self, team: &str, outer_team: &str, shared: bool, event: Value) {
        let Some(envelope) = self.envelope(team, outer_team, shared, event) else { return };
        self.effects.push(Effect::Deliver { body: envelope.to_string().into(), copies: 1 });
    }

    /// `outer_team` is the top-level `team_id`, the author's team in Slack Connect; `team` is the one the
    /// event is
    /// about. For what is about an organisation both are its id, and no team is named.
    fn envelope(&self, team: &str, outer_team: &str, shared: bool, event: Value) -> Option<Value> {
        let bot = self.find_installation(team)?;
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let enterprise = |id| self.find_enterprise(id).map(|enterprise| &enterprise.id);
        let named = |id: &str| self.teams.contains_key(id).then(|| id.to_owned());
        let mut envelope = json!({
            "token": VERIFICATION_TOKEN,
            "team_id": named(outer_team),
            "context_team_id": named(team),
            "context_enterprise_id": enterprise(team),
            "api_app_id": APP_ID,
            "event": event,
            "type": "event_callback",
            "event_id": new_event_id(),
            "event_time": Utc::now().timestamp(),
            "authorizations": [{
                "enterprise_id": enterprise(team),
                "team_id": named(team).filter(|_| !bot.is_enterprise_install),
                "user_id": bot.bot_user_id,
                "is_bot": true,
                "is_enterprise_install": bot.is_enterprise_install,
            }],
            "is_ext_shared_channel": shared,
            "event_context": format!("4-{kind}-{}", Uuid::new_v4().simple()),
        });
        // The key exists only on Enterprise Grid.
        if let Some(enterprise) = enterprise(outer_team) {
            envelope["enterprise_id"] = json!(enterprise);
        }
        Some(envelope)
    }

    /// Returns whether the app has a scope in a team.
    pub(crate) fn has_scope(&self, team: &str, scope: &str) -> bool {
        let bot = self.teams.get(team).and_then(|team| team.installation.as_ref());
        bot.is_some_and(|bot| bot.scopes.contains(scope))
    }
}

/// Returns a unique id `Ev…` in upper case, like Slack's ids.
fn new_event_id() -> String {
    format!("Ev{}", Uuid::new_v4().simple().to_string().to_uppercase())
}
