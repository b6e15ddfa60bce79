//! Posts, changes and deletes messages, and queues the resulting events.

use anyhow::{Context, ensure};
use serde_json::json;
use uuid::Uuid;

use super::message::{MessageContent, SlackMessage};
use super::team::APP_ID;
use super::{FakeSlack, MAX_LOG_ENTRIES, NewFile, StateChange};

/// The subtype of a message with files.
pub(crate) const FILE_SHARE_SUBTYPE: &str = "file_share";

/// A message from a person.
#[derive(Clone, Debug, Default)]
pub struct PostMessage {
    /// `T…`
    pub team: String,
    /// The channel's id or name; a DM's id is [`crate::Simulator::dm`].
    pub channel: String,
    /// The author. A person of another team makes it a Slack Connect message.
    pub user: String,
    /// The text in Slack's form: a mention is `<@U…>`, and `&`, `<`, `>` are escaped.
    pub text: String,
    /// The root to reply to; `None` starts a thread.
    pub thread_ts: Option<String>,
    /// The subtype, such as `me_message` or `thread_broadcast`; `None` for a plain message. With files it is
    /// always
    /// `file_share`.
    pub subtype: Option<String>,
    /// Attached files.
    pub files: Vec<NewFile>,
}

impl FakeSlack {
    /// Posts as a person and queues the events as effects.
    pub(crate) fn post(&mut self, post: PostMessage) -> anyhow::Result<String> {
        self.post_with_client_msg_id(post, Uuid::new_v4().to_string())
    }

    /// Posts as a person with the client's message id.
    pub(crate) fn post_with_client_msg_id(
        &mut self,
        post: PostMessage,
        client_msg_id: String,
    ) -> anyhow::Result<String> {
        let team = self.teams.get(&post.team).with_context(|| format!("no team {}", post.team))?;
        let channel =
            team.find_channel(&post.channel).with_context(|| format!("no channel {}", post.channel))?;
        if let Some(root) = &post.thread_ts {
            ensure!(channel.messages.contains_key(root), "no message {root} to answer");
        }
        let (channel, is_dm) = (channel.id.clone(), channel.person.is_some());
        let home =
            self.find_home_team(&post.user).with_context(|| format!("no person {}", post.user))?.id.clone();
        if !is_dm && !self.is_same_organization(&home, &post.team) {
            self.share_channel(&post.team, &channel, &home)?;
        }
        let mut files = Vec::new();
        for file in post.files {
            files.push(self.store_file(file, &post.user, &post.team, &channel));
        }
        let subtype = if files.is_empty() { post.subtype } else { Some(FILE_SHARE_SUBTYPE.to_owned()) };
        let message = SlackMessage {
            subtype,
            files,
            thread_ts: post.thread_ts,
            user: post.user,
            text: post.text,
            client_msg_id: Some(client_msg_id),
            ..SlackMessage::default()
        };
        Ok(self.add_message(&post.team, &channel, message))
    }

    /// Posts as the app's bot.
    pub(crate) fn post_as_bot(
        &mut self,
        team: &str,
        channel: &str,
        thread_ts: Option<String>,
        content: MessageContent,
    ) -> Option<String> {
        let message = self.new_bot_message(team, thread_ts, content)?;
        Some(self.add_message(team, channel, message))
    }

    /// Builds the bot's message without posting it; `None` if the app is not installed.
    pub(crate) fn new_bot_message(
        &self,
        team: &str,
        thread_ts: Option<String>,
        content: MessageContent,
    ) -> Option<SlackMessage> {
        let bot = self.teams.get(team)?.installation.as_ref()?;
        Some(SlackMessage {
            thread_ts,
            user: bot.bot_user_id.clone(),
            bot_id: Some(bot.bot_id.clone()),
            app_id: Some(APP_ID.to_owned()),
            text: content.text,
            is_markdown: content.is_markdown,
            blocks: content.blocks,
            metadata: content.metadata,
            ..SlackMessage::default()
        })
    }

    /// Assigns the `ts`, stores the message and notifies the app and the page.
    pub(crate) fn add_message(&mut self, team: &str, channel: &str, mut message: SlackMessage) -> String {
        let ts = self.next_ts();
        message.ts.clone_from(&ts);
        let root = message.thread_ts.clone().unwrap_or_else(|| ts.clone());
        let from_bot = message.is_own();
        if let Some(channel) = self.channel_mut(team, channel) {
            channel.insert(message);
        }
        if from_bot {
            self.clear_status(team, channel, &root);
        }
        self.notify(StateChange::Message { team: team.into(), channel: channel.into(), ts: ts.clone() });
        self.announce_message(team, channel, &ts);
        ts
    }

    /// Shows a message to one person; it enters no history and causes no event.
    pub(crate) fn add_ephemeral(
        &mut self,
        team: &str,
        channel: &str,
        user: String,
        mut message: SlackMessage,
    ) -> String {
        let ts = self.next_ts();
        message.ts.clone_from(&ts);
        if let Some(place) = self.channel_mut(team, channel) {
            place.ephemerals.push((user, message));
            let surplus = place.ephemerals.len().saturating_sub(MAX_LOG_ENTRIES);
            place.ephemerals.drain(..surplus);
        }
        self.notify(StateChange::Message { team: team.into(), channel: channel.into(), ts: ts.clone() });
        ts
    }

    /// Replaces a message's content; absent metadata stays unchanged.
    pub(crate) fn update_message(&mut self, team: &str, channel: &str, ts: &str, content: MessageContent) {
        let Some(message) = self.message_mut(team, channel, ts) else { return };
        let before = message.clone();
        message.text = content.text;
        message.is_markdown = content.is_markdown;
        message.blocks = content.blocks;
        message.is_edited = true;
        if let Some(metadata) = content.metadata {
            // `{}` removes it.
            message.metadata = Some(metadata).filter(|m| m.as_object().is_some_and(|m| !m.is_empty()));
        }
        self.notify(StateChange::Message { team: team.into(), channel: channel.into(), ts: ts.into() });
        self.announce_changed(team, channel, &before);
    }

    /// Deletes a message; its replies remain, as in Slack.
    pub(crate) fn delete_message(&mut self, team: &str, channel: &str, ts: &str) {
        let Some(message) = self.channel_mut(team, channel).and_then(|channel| channel.remove(ts)) else {
            return;
        };
        self.notify(StateChange::Deleted { team: team.into(), channel: channel.into(), ts: ts.into() });
        let previous = message.to_json(team, &[], false);
        let event = json!({
            "type": "message", "subtype": "message_deleted", "hidden": true, "channel": channel,
            "deleted_ts": ts, "previous_message": previous,
        });
        let foreign = self.find_external_team(team, &message.user);
        self.announce_in_channel(team, channel, event, foreign.as_deref());
    }

    /// A bot message clears the thread's status text.
    pub(crate) fn clear_status(&mut self, team: &str, channel: &str, root: &str) {
        let key = (channel.to_owned(), root.to_owned());
        let cleared = self
            .teams
            .get_mut(team)
            .and_then(|team| team.sessions.get_mut(&key))
            .and_then(|session| session.status_text.take());
        if cleared.is_some() {
            let (channel, thread_ts) = key;
            self.notify(StateChange::Status { team: team.into(), channel, thread_ts });
        }
    }
}
