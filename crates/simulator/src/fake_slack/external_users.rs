//! Actions of other parties: people who edit and delete, other apps' bots, other organisations.

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::message::{MessageContent, SlackMessage};
use super::{FakeSlack, PostMessage, SimulatedUser, StateChange};

/// Message formats of other apps.
#[derive(Clone, Copy, Debug)]
pub enum OtherBot {
    /// A current app: `user`, `bot_id` and `app_id`, no subtype.
    App,
    /// A legacy integration: `bot_message` with a `bot_id` and no user
    /// (<https://docs.slack.dev/reference/events/message/bot_message>).
    LegacyIntegration,
    /// A bot that posts as a user: the event has no `bot_id`; only `users.info` says `is_bot`.
    BotUser,
}

impl FakeSlack {
    /// Shares a channel (id or name) with a team of another organisation.
    pub(crate) fn share_channel(&mut self, id: &str, channel: &str, other: &str) -> anyhow::Result<()> {
        ensure!(self.teams.contains_key(other), "no team {other}");
        ensure!(!self.is_same_organization(id, other), "{other} is in the same organisation");
        let team = self.teams.get(id).with_context(|| format!("no team {id}"))?;
        let found = team.find_channel(channel).filter(|channel| channel.person.is_none());
        let channel = found.with_context(|| format!("no channel {channel}"))?.id.clone();
        if let Some(channel) = self.channel_mut(id, &channel) {
            channel.shared_with.insert(other.to_owned());
        }
        self.notify(StateChange::Team { team: id.to_owned() });
        Ok(())
    }

    /// Posts one user action as two messages: two `ts`, one `client_msg_id`.
    pub(crate) fn post_duplicate_message(&mut self, post: PostMessage) -> anyhow::Result<(String, String)> {
        let client_msg_id = Uuid::new_v4().to_string();
        let first = self.post_with_client_msg_id(post.clone(), client_msg_id.clone())?;
        Ok((first, self.post_with_client_msg_id(post, client_msg_id)?))
    }

    /// Posts as another app's bot and adds it to the team.
    pub(crate) fn post_as_other_bot(
        &mut self,
        team: &str,
        channel: &str,
        thread_ts: Option<&str>,
        text: &str,
        bot: OtherBot,
    ) -> anyhow::Result<String> {
        let found = self.teams.get(team).and_then(|team| team.find_channel(channel));
        let channel = found.with_context(|| format!("no channel {channel} in {team}"))?.id.clone();
        let mut message = SlackMessage {
            thread_ts: thread_ts.map(str::to_owned),
            text: text.to_owned(),
            ..SlackMessage::default()
        };
        let tail = team.trim_start_matches('T');
        if !matches!(bot, OtherBot::BotUser) {
            message.bot_id = Some(format!("B0OTHER{tail}"));
            message.app_id = Some("A0OTHER".to_owned());
        }
        if matches!(bot, OtherBot::LegacyIntegration) {
            message.subtype = Some("bot_message".to_owned());
        } else {
            message.user = format!("U0OTHER{tail}");
            self.add_bot_user(team, &message.user);
        }
        Ok(self.add_message(team, &channel, message))
    }

    /// Adds a bot to a team's people if it is not there.
    fn add_bot_user(&mut self, team: &str, user: &str) {
        let Some(team) = self.teams.get_mut(team) else { return };
        if team.find_person(user).is_none() {
            let (id, name) = (user.to_owned(), "Otherbot".to_owned());
            team.people.push(SimulatedUser { id, name, is_bot: true, ..SimulatedUser::default() });
        }
    }

    /// Edits a message as its author. If the edit adds a mention of the bot, it is also an `app_mention`,
    /// marked as
    /// edited (PostHog/posthog#59517).
    pub(crate) fn edit_as_author(
        &mut self,
        team: &str,
        channel: &str,
        ts: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        let channel = self.resolve_message_channel(team, channel, ts)?;
        let mentioned = self.mentions_bot(team, &channel, ts);
        self.update_message(
            team,
            &channel,
            ts,
            MessageContent { text: text.to_owned(), ..MessageContent::default() },
        );
        if !mentioned && self.mentions_bot(team, &channel, ts) {
            self.announce_mention(team, &channel, ts);
        }
        Ok(())
    }

    /// Deletes a message as its author.
    pub(crate) fn delete_as_author(&mut self, team: &str, channel: &str, ts: &str) -> anyhow::Result<()> {
        let channel = self.resolve_message_channel(team, channel, ts)?;
        self.delete_message(team, &channel, ts);
        Ok(())
    }

    /// Returns the id of the channel (given by id or name) that contains the message.
    fn resolve_message_channel(&self, team: &str, channel: &str, ts: &str) -> anyhow::Result<String> {
        let found = self.teams.get(team).and_then(|team| team.find_channel(channel));
        let found = found.with_context(|| format!("no channel {channel} in {team}"))?;
        ensure!(found.messages.contains_key(ts), "no message {ts} in {channel}");
        Ok(found.id.clone())
    }
}
