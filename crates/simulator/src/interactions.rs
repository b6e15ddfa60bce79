//! Clicks, commands, the Home tab and the stop button.

use std::sync::Arc;

use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::fake_slack::{Click, SlashCommand, VERIFICATION_TOKEN};
use crate::request_urls::{RequestUrl, signed_request};
use crate::simulator::Simulator;
use crate::state::SimulatorState;
use crate::web_api;

impl Simulator {
    /// Clicks on a button in a message, or on the one of a `feedback_buttons` element that has this value; the
    /// status the app answers with. It is told once. Fails where there is nothing to click on, or no answer
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

    /// Clicks on a button in the person's Home tab; the status the app answers with.
    pub async fn click_home(&self, team: &str, user: &str, action_id: &str) -> anyhow::Result<u16> {
        send_home_click(&self.state, &Click { team, user, action_id, value: None }).await
    }

    /// Types a slash command in a channel (id or name); the status and the body the app answers with. What a
    /// 200
    /// brings is shown to that person. Fails where there is no such command, or no answer in time.
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
    /// `/slack/commands`,
    /// then at `/slack/interactions`.
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

/// Clicks in a message.
pub(crate) async fn send_click(
    shared: &Arc<SimulatorState>,
    click: &Click<'_>,
    channel: &str,
    ts: &str,
) -> anyhow::Result<u16> {
    let payload = shared.with(|slack| slack.click_payload(click, channel, ts))?;
    send_interaction(shared, &payload).await
}

/// Clicks in a Home tab.
pub(crate) async fn send_home_click(shared: &Arc<SimulatorState>, click: &Click<'_>) -> anyhow::Result<u16> {
    let payload = shared.with(|slack| slack.home_click_payload(click))?;
    send_interaction(shared, &payload).await
}

async fn send_interaction(shared: &SimulatorState, payload: &Value) -> anyhow::Result<u16> {
    let body = serde_urlencoded::to_string([("payload", payload.to_string())])?;
    Ok(signed_request(shared, RequestUrl::Interactions, body.into()).send().await?.status().as_u16())
}

/// Types a slash command.
pub(crate) async fn send_command(
    shared: &Arc<SimulatorState>,
    command: &SlashCommand<'_>,
) -> anyhow::Result<(u16, String)> {
    let (fields, asked) = shared.with(|slack| slack.command_form(command))?;
    let body = serde_urlencoded::to_string(fields)?;
    let answer = signed_request(shared, RequestUrl::Commands, body.into()).send().await?;
    let status = answer.status().as_u16();
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let body = answer.text().await?;
    if status == 200 {
        let shown = shared.with(|slack| web_api::show_command_response(slack, &asked, &kind, &body));
        shown.map_err(|refusal| anyhow::anyhow!(refusal.error)).context("Slack would not show the answer")?;
    }
    Ok((status, body))
}
