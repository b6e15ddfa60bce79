//! Streaming messages: start, append, stop, and end by Slack.

use std::time::Instant;

use serde_json::Value;

use super::message::MessageContent;
use super::{Effect, FakeSlack, StateChange};

impl FakeSlack {
    /// Starts a streaming message in a thread.
    pub(crate) fn start_stream(
        &mut self,
        team: &str,
        channel: &str,
        root: &str,
        text: String,
    ) -> Option<String> {
        let content = MessageContent { text, is_markdown: true, ..MessageContent::default() };
        let mut message = self.new_bot_message(team, Some(root.to_owned()), content)?;
        message.is_stream = true;
        message.is_streaming = true;
        let ts = self.add_message(team, channel, message);
        self.effects.push(Effect::ExpireStream {
            team: team.into(),
            channel: channel.into(),
            ts: ts.clone(),
            after: self.settings.stream_lifetime,
        });
        Some(ts)
    }

    /// Appends to a streaming message.
    pub(crate) fn append_stream(&mut self, team: &str, channel: &str, ts: &str, text: &str) {
        if let Some(message) = self.message_mut(team, channel, ts) {
            message.text.push_str(text);
            self.notify(StateChange::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        }
    }

    /// Ends a stream with blocks below its text and the session's next state.
    pub(crate) fn stop_stream(
        &mut self,
        team: &str,
        channel: &str,
        ts: &str,
        last: MessageContent,
        session_status: &str,
    ) {
        let Some(message) = self.message_mut(team, channel, ts) else { return };
        let before = message.clone();
        message.text.push_str(&last.text);
        message.is_streaming = false;
        message.is_stopped = false;
        message.blocks = last.blocks;
        message.metadata = last.metadata;
        let root = message.thread_ts.clone().unwrap_or_default();
        self.set_session_state(team, channel, &root, session_status);
        self.notify(StateChange::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        self.announce_changed(team, channel, &before);
    }

    /// Ends a stream that the app did not stop in time, as Slack does.
    pub(crate) fn expire_stream(&mut self, team: &str, channel: &str, ts: &str) {
        let Some(message) = self.message_mut(team, channel, ts) else { return };
        if std::mem::take(&mut message.is_streaming) {
            self.notify(StateChange::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        }
    }

    /// Sets a session's state, `processing`, `active`, `suspended` or `closed`.
    pub(crate) fn set_session_state(&mut self, team: &str, channel: &str, root: &str, state: &str) {
        self.update_session(team, channel, root, |session| {
            session.state = Some((state.into(), Instant::now()))
        });
    }

    /// Changes a thread's session and creates it if needed.
    pub(crate) fn update_session(
        &mut self,
        team: &str,
        channel: &str,
        root: &str,
        change: impl FnOnce(&mut super::AgentSession),
    ) {
        let Some(known) = self.teams.get_mut(team) else { return };
        change(known.sessions.entry((channel.to_owned(), root.to_owned())).or_default());
        self.notify(StateChange::Status {
            team: team.into(),
            channel: channel.into(),
            thread_ts: root.into(),
        });
    }

    /// Stores a person's Home tab from `views.publish`.
    pub(crate) fn publish_home(&mut self, team: &str, user: &str, view: Value) {
        if let Some(known) = self.teams.get_mut(team) {
            known.homes.insert(user.to_owned(), view);
            self.notify(StateChange::Home { team: team.into(), user: user.into() });
        }
    }
}
