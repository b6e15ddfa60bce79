//! Test controls for other parties: edits, deletions, other bots, other organisation.

use crate::fake_slack::{OtherBot, PostMessage, SimulatedUser};
use crate::simulator::Simulator;

impl Simulator {
    /// Shares a channel (id or name) with a team of another organisation (Slack Connect).
    pub fn share_channel(&self, team: &str, channel: &str, other_team: &str) -> anyhow::Result<()> {
        self.with(|slack| slack.share_channel(team, channel, other_team))
    }

    /// Posts as a person whose one gesture arrives as two messages, as was seen with Slack Connect: each with
    /// its own
    /// `ts` and `event_id`, both with one `client_msg_id` (typeclaw/typeclaw#49). The two `ts`.
    pub fn post_duplicate_message(&self, message: PostMessage) -> anyhow::Result<(String, String)> {
        self.with(|slack| slack.post_duplicate_message(message))
    }

    /// Posts as another app's bot; the message's `ts`.
    pub fn post_as_other_app(
        &self,
        team: &str,
        channel: &str,
        thread_ts: Option<&str>,
        text: &str,
    ) -> anyhow::Result<String> {
        self.post_as_other_bot(team, channel, thread_ts, text, OtherBot::App)
    }

    /// Posts as another app, in any of the shapes there are; the message's `ts`.
    pub fn post_as_other_bot(
        &self,
        team: &str,
        channel: &str,
        thread_ts: Option<&str>,
        text: &str,
        bot: OtherBot,
    ) -> anyhow::Result<String> {
        self.with(|slack| slack.post_as_other_bot(team, channel, thread_ts, text, bot))
    }

    /// Changes a message as its author does; the app gets `message_changed`.
    pub fn edit(&self, team: &str, channel: &str, ts: &str, text: &str) -> anyhow::Result<()> {
        self.with(|slack| slack.edit_as_author(team, channel, ts, text))
    }

    /// Deletes a message as its author does; the app gets `message_deleted`.
    pub fn delete(&self, team: &str, channel: &str, ts: &str) -> anyhow::Result<()> {
        self.with(|slack| slack.delete_as_author(team, channel, ts))
    }

    /// Deactivates somebody's account, as an admin does.
    pub fn deactivate(&self, team: &str, user: &str) {
        self.update_person(team, user, |person| person.is_deactivated = true);
    }

    /// Changes a person, as an admin does: for example makes them an admin or a guest.
    pub fn update_person(&self, team: &str, user: &str, change: impl Fn(&mut SimulatedUser)) {
        self.with(|slack| {
            let people = slack.teams.get_mut(team).into_iter().flat_map(|team| &mut team.people);
            people.filter(|person| person.id == user).for_each(change);
        });
    }
}
