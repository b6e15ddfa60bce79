//! What a test lets others do: edit and delete, write as another bot, or from another organisation.

use crate::simulator::Simulator;
use crate::world::{OtherBot, PostMessage};

impl Simulator {
    /// Shares a channel (id or name) with a team of another organisation (Slack Connect).
    pub fn share_channel(&self, team: &str, channel: &str, other_team: &str) -> anyhow::Result<()> {
        self.with(|world| world.share_channel(team, channel, other_team))
    }

    /// Posts as a person whose one gesture arrives as two messages, as was seen with Slack Connect: each with its own
    /// `ts` and `event_id`, both with one `client_msg_id` (typeclaw/typeclaw#49). The two `ts`.
    pub fn deliver_twice_as_connect(&self, message: PostMessage) -> anyhow::Result<(String, String)> {
        self.with(|world| world.post_twice(message))
    }

    /// Posts as another app's bot; the message's `ts`.
    pub fn post_as_bot(
        &self,
        team: &str,
        channel: &str,
        thread_ts: Option<&str>,
        text: &str,
    ) -> anyhow::Result<String> {
        self.post_as_other(team, channel, thread_ts, text, OtherBot::App)
    }

    /// Posts as another app, in any of the shapes there are; the message's `ts`.
    pub fn post_as_other(
        &self,
        team: &str,
        channel: &str,
        thread_ts: Option<&str>,
        text: &str,
        bot: OtherBot,
    ) -> anyhow::Result<String> {
        self.with(|world| world.post_as_other(team, channel, thread_ts, text, bot))
    }

    /// Changes a message as its author does; the app gets `message_changed`.
    pub fn edit(&self, team: &str, channel: &str, ts: &str, text: &str) -> anyhow::Result<()> {
        self.with(|world| world.edit(team, channel, ts, text))
    }

    /// Deletes a message as its author does; the app gets `message_deleted`.
    pub fn delete(&self, team: &str, channel: &str, ts: &str) -> anyhow::Result<()> {
        self.with(|world| world.take_back(team, channel, ts))
    }

    /// Deactivates somebody's account, as an admin does.
    pub fn deactivate(&self, team: &str, user: &str) {
        self.with(|world| {
            let team = world.teams.get_mut(team);
            for person in
                team.into_iter().flat_map(|team| &mut team.people).filter(|person| person.id == user)
            {
                person.deleted = true;
            }
        });
    }
}
