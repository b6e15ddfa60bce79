//! The app's Home tab, its conversation, and the threads it works in.

use serde_json::{Value, json};

use super::message::MessageContent;
use super::{FakeSlack, StateChange};

/// Subtype of the root message that Slack adds to an assistant thread.
/// Source: <https://docs.slack.dev/reference/events/message/assistant_app_thread>
pub(crate) const ASSISTANT_THREAD_SUBTYPE: &str = "assistant_app_thread";

impl FakeSlack {
    /// A person opens a tab of the app, `home` or `messages`
    /// (<https://docs.slack.dev/reference/events/app_home_opened>). For an assistant of before `agent_view` the
    /// messages are a new thread instead.
    pub(crate) fn open_app_tab(&mut self, team: &str, user: &str, tab: &str) {
        let dm = self.teams.get_mut(team).and_then(|team| team.open_dm(user));
        let Some(channel) = dm.filter(|_| self.is_installed(team)) else { return };
        if tab == "messages" && !self.settings.has_agent_sessions {
            return self.start_assistant_thread(team, user, &channel);
        }
        let mut event = json!({
            "type": "app_home_opened", "user": user, "channel": channel, "tab": tab, "event_ts": self.next_ts(),
        });
        if let Some(view) = self.home(team, user).filter(|_| tab == "home") {
            event["view"] = view;
        }
        self.announce(team, team, false, event);
    }

    /// A person views a channel (id or name), or none, while the app's conversation is open
    /// (<https://docs.slack.dev/reference/events/app_context_changed>).
    pub(crate) fn view_channel(&mut self, team_id: &str, user: &str, channel: Option<&str>) {
        let Some(team) = self.teams.get_mut(team_id) else { return };
        let seen = channel.and_then(|name| team.find_channel(name)).map(|channel| channel.id.clone());
        let Some(dm) = team.open_dm(user) else { return };
        match &seen {
            Some(channel) => team.viewed_channels.insert(user.to_owned(), channel.clone()),
            None => team.viewed_channels.remove(user),
        };
        let event_ts = self.next_ts();
        let event = if self.settings.has_agent_sessions {
            let entity = |id| json!([{"type": "slack#/types/channel_id", "value": id, "team_id": team_id}]);
            let context = seen.map_or_else(|| json!({}), |id| json!({"entities": entity(id)}));
            let kind = "app_context_changed";
            json!({"type": kind, "user": user, "channel": dm, "context": context, "event_ts": event_ts})
        } else {
            let Some(root) = self.find_assistant_root(team_id, &dm) else { return };
            let thread = self.assistant_thread_json(team_id, user, &dm, &root);
            let kind = "assistant_thread_context_changed";
            json!({"type": kind, "assistant_thread": thread, "event_ts": event_ts})
        };
        self.announce(team_id, team_id, false, event);
    }

    /// Presses the stop button: the thread's streams accept no more text, and the app gets the event. To end
    /// the work
    /// and the session's status is left to it
    /// (<https://docs.slack.dev/reference/events/agent_session_stopped>).
    pub(crate) fn stop_session(&mut self, team: &str, user: &str, channel: &str, root: &str) {
        let place = self.teams.get(team).and_then(|team| team.find_channel(channel));
        let Some(channel) = place.map(|channel| channel.id.clone()) else { return };
        let thread = self.thread(team, &channel, root);
        let streams = thread.into_iter().filter(|message| message.is_streaming && !message.is_stopped);
        let streams: Vec<String> = streams.map(|message| message.ts).collect();
        for ts in &streams {
            if let Some(message) = self.message_mut(team, &channel, ts) {
                message.is_stopped = true;
            }
            let (team, channel) = (team.to_owned(), channel.clone());
            self.notify(StateChange::Message { team, channel, ts: ts.clone() });
        }
        let event = json!({
            "type": "agent_session_stopped", "channel": channel, "thread_ts": root, "user": user,
            "streaming_message_ts": streams, "event_ts": self.next_ts(),
        });
        self.announce(team, team, false, event);
    }

    /// Returns the root of the newest assistant thread in a DM.
    fn find_assistant_root(&self, team: &str, dm: &str) -> Option<String> {
        let messages = &self.teams.get(team)?.channels.get(dm)?.messages;
        let is_root = |subtype: &Option<String>| subtype.as_deref() == Some(ASSISTANT_THREAD_SUBTYPE);
        messages.values().rev().find(|message| is_root(&message.subtype)).map(|message| message.ts.clone())
    }

    fn start_assistant_thread(&mut self, team: &str, user: &str, dm: &str) {
        let content = MessageContent { text: "New Assistant Thread".into(), ..MessageContent::default() };
        let Some(mut root) = self.new_bot_message(team, None, content) else { return };
        let ts = self.next_ts();
        root.ts.clone_from(&ts);
        root.subtype = Some(ASSISTANT_THREAD_SUBTYPE.to_owned());
        if let Some(place) = self.channel_mut(team, dm) {
            place.insert(root);
        }
        self.notify(StateChange::Message { team: team.into(), channel: dm.into(), ts: ts.clone() });
        let thread = self.assistant_thread_json(team, user, dm, &ts);
        let event_ts = self.next_ts();
        let event =
            json!({"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": event_ts});
        self.announce(team, team, false, event);
    }

    /// <https://docs.slack.dev/reference/events/assistant_thread_started>
    fn assistant_thread_json(&self, team_id: &str, user: &str, dm: &str, root: &str) -> Value {
        let seen = self.teams.get(team_id).and_then(|team| team.viewed_channels.get(user));
        let enterprise = self.find_enterprise(team_id).map(|enterprise| &enterprise.id);
        let context = seen.map_or_else(
            || json!({}),
            |channel| json!({"channel_id": channel, "team_id": team_id, "enterprise_id": enterprise}),
        );
        json!({"user_id": user, "context": context, "channel_id": dm, "thread_ts": root})
    }

    fn is_installed(&self, team: &str) -> bool {
        self.teams.get(team).is_some_and(|team| team.installation.is_some())
    }
}
