//! Clicks, commands, the Home tab and the stop button.

use crate::fake_slack::{Click, SlashCommand, VERIFICATION_TOKEN};
use crate::interaction_requests::{send_click, send_command, send_home_click};
use crate::request_urls::RequestUrl;
use crate::simulator::Simulator;

impl Simulator {
    /// Clicks a button in a message, or the one of a `feedback_buttons` element that has this value; returns
    /// the status of the app's answer. The app is told once. Fails if there is nothing to click, or no answer
    /// in time.
    pub async fn click(
        &self,
        team: &str,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        value: Option<&str>,
    ) -> anyhow::Result<u16> {
        send_click(&self.state, &Click { team, user, action_id, value }, channel, ts).await
    }

    /// Clicks a button in the person's Home tab; returns the status of the app's answer.
    pub async fn click_home(&self, team: &str, user: &str, action_id: &str) -> anyhow::Result<u16> {
        send_home_click(&self.state, &Click { team, user, action_id, value: None }).await
    }

    /// Types a slash command in a channel (id or name); returns the status and body of the app's answer. The
    /// body of a 200 is shown to that person. Fails if there is no such command, or no answer in time.
    pub async fn command(
        &self,
        team: &str,
        user: &str,
        channel: &str,
        command: &str,
        text: &str,
    ) -> anyhow::Result<(u16, String)> {
        send_command(&self.state, &SlashCommand { team, user, channel, command, text }).await
    }

    /// Opens a tab of the app, `home` or `messages`; the app is told.
    pub fn open_app_tab(&self, team: &str, user: &str, tab: &str) {
        self.with(|slack| slack.open_app_tab(team, user, tab));
    }

    /// Looks at a channel (id or name), or at nothing the app is told of, beside the app's conversation.
    pub fn view_channel(&self, team: &str, user: &str, channel: Option<&str>) {
        self.with(|slack| slack.view_channel(team, user, channel));
    }

    /// Presses the stop button in a thread: its streams take no more text, and the app is told.
    pub fn stop_session(&self, team: &str, user: &str, channel: &str, thread_ts: &str) {
        self.with(|slack| slack.stop_session(team, user, channel, thread_ts));
    }

    /// Slack's check of the app's certificates, unsigned: the statuses of a GET and a POST at
    /// `/slack/commands`, then at `/slack/interactions`.
    pub async fn probe_ssl(&self) -> anyhow::Result<Vec<u16>> {
        let query = [("ssl_check", "1"), ("token", VERIFICATION_TOKEN)];
        let mut statuses = Vec::new();
        for door in [RequestUrl::Commands, RequestUrl::Interactions] {
            let get = self.state.http.get(door.resolve(&self.state)).query(&query);
            let post = self.state.http.post(door.resolve(&self.state)).form(&query);
            for request in [get, post] {
                statuses.push(request.send().await?.status().as_u16());
            }
        }
        Ok(statuses)
    }
}
