//! Messages that grow: begun, appended to, stopped, or ended by Slack.

use std::time::Instant;

use serde_json::Value;

use super::message::Content;
use super::{Change, Effect, World};

impl World {
    /// Begins a streaming message in a thread.
    pub(crate) fn start_stream(
        &mut self,
        team: &str,
        channel: &str,
        root: &str,
        text: String,
    ) -> Option<String> {
        let content = Content { text, markdown: true, ..Content::default() };
        let mut message = self.bot_message(team, Some(root.to_owned()), content)?;
        message.streamed = true;
        message.streaming = true;
        let ts = self.add(team, channel, message);
        self.effects.push(Effect::EndStream {
            team: team.into(),
            channel: channel.into(),
            ts: ts.clone(),
            after: self.settings.stream_lifetime,
        });
        Some(ts)
    }

    /// Adds to a streaming message.
    pub(crate) fn append_stream(&mut self, team: &str, channel: &str, ts: &str, text: &str) {
        if let Some(message) = self.message_mut(team, channel, ts) {
            message.text.push_str(text);
            self.changed(Change::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        }
    }

    /// Ends a stream, with blocks under its text and the state its session goes on in.
    pub(crate) fn stop_stream(
        &mut self,
        team: &str,
        channel: &str,
        ts: &str,
        last: Content,
        session_status: &str,
    ) {
        let Some(message) = self.message_mut(team, channel, ts) else { return };
        let before = message.clone();
        message.text.push_str(&last.text);
        message.streaming = false;
        message.stopped = false;
        message.blocks = last.blocks;
        message.metadata = last.metadata;
        let root = message.thread_ts.clone().unwrap_or_default();
        self.set_session_state(team, channel, &root, session_status);
        self.changed(Change::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        self.announce_changed(team, channel, &before);
    }

    /// Slack's own end of a stream that was not stopped in time.
    pub(crate) fn expire_stream(&mut self, team: &str, channel: &str, ts: &str) {
        let Some(message) = self.message_mut(team, channel, ts) else { return };
        if std::mem::take(&mut message.streaming) {
            self.changed(Change::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        }
    }

    /// Sets a session's state, `processing`, `active`, `suspended` or `closed`.
    pub(crate) fn set_session_state(&mut self, team: &str, channel: &str, root: &str, state: &str) {
        self.session(team, channel, root, |session| session.state = Some((state.into(), Instant::now())));
    }

    /// Changes the session of a thread, which comes to be by that.
    pub(crate) fn session(
        &mut self,
        team: &str,
        channel: &str,
        root: &str,
        change: impl FnOnce(&mut super::Session),
    ) {
        let Some(known) = self.teams.get_mut(team) else { return };
        change(known.sessions.entry((channel.to_owned(), root.to_owned())).or_default());
        self.changed(Change::Status { team: team.into(), channel: channel.into(), thread_ts: root.into() });
    }

    /// Keeps a person's Home tab, as `views.publish` sends it.
    pub(crate) fn publish_home(&mut self, team: &str, user: &str, view: Value) {
        if let Some(known) = self.teams.get_mut(team) {
            known.homes.insert(user.to_owned(), view);
            self.changed(Change::Home { team: team.into(), user: user.into() });
        }
    }
}
