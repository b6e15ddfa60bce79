//! What a person does with the app beyond writing: clicks, commands, its Home tab, and the stop button.

use std::sync::Arc;

use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::door::{Door, signed};
use crate::shared::Shared;
use crate::simulator::Simulator;
use crate::web_api;
use crate::world::{Click, Command, VERIFICATION_TOKEN};

impl Simulator {
    /// Clicks on a button in a message, or on the one of a `feedback_buttons` element that has this value; the
    /// status the app answers with. It is told once. Fails where there is nothing to click on, or no answer in time.
    pub async fn click(
        &self,
        team: &str,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        value: Option<&str>,
    ) -> anyhow::Result<u16> {
        click(&self.shared, &Click { team, user, action_id, value }, channel, ts).await
    }

    /// Clicks on a button in the person's Home tab; the status the app answers with.
    pub async fn click_home(&self, team: &str, user: &str, action_id: &str) -> anyhow::Result<u16> {
        click_home(&self.shared, &Click { team, user, action_id, value: None }).await
    }

    /// Types a slash command in a channel (id or name); the status and the body the app answers with. What a 200
    /// brings is shown to that person. Fails where there is no such command, or no answer in time.
    pub async fn command(
        &self,
        team: &str,
        user: &str,
        channel: &str,
        command: &str,
        text: &str,
    ) -> anyhow::Result<(u16, String)> {
        say(&self.shared, &Command { team, user, channel, command, text }).await
    }

    /// Opens a tab of the app, `home` or `messages`; the app is told.
    pub fn open_home(&self, team: &str, user: &str, tab: &str) {
        self.with(|world| world.open_home(team, user, tab));
    }

    /// Looks at a channel (id or name), or at nothing the app is told of, beside the app's conversation.
    pub fn look_at(&self, team: &str, user: &str, channel: Option<&str>) {
        self.with(|world| world.look_at(team, user, channel));
    }

    /// Presses the stop button in a thread: its streams take no more text, and the app is told.
    pub fn stop(&self, team: &str, user: &str, channel: &str, thread_ts: &str) {
        self.with(|world| world.stop_session(team, user, channel, thread_ts));
    }

    /// Slack's check of the app's certificates, unsigned: the statuses of a GET and a POST at `/slack/commands`,
    /// then at `/slack/interactions`.
    pub async fn probe_ssl(&self) -> anyhow::Result<Vec<u16>> {
        let query = [("ssl_check", "1"), ("token", VERIFICATION_TOKEN)];
        let mut statuses = Vec::new();
        for door in [Door::Commands, Door::Interactions] {
            let get = self.shared.http.get(door.address(&self.shared)).query(&query);
            let post = self.shared.http.post(door.address(&self.shared)).form(&query);
            for request in [get, post] {
                statuses.push(request.send().await?.status().as_u16());
            }
        }
        Ok(statuses)
    }
}

/// Clicks in a message.
pub(crate) async fn click(
    shared: &Arc<Shared>,
    click: &Click<'_>,
    channel: &str,
    ts: &str,
) -> anyhow::Result<u16> {
    let payload = shared.with(|world| world.click(click, channel, ts))?;
    interact(shared, &payload).await
}

/// Clicks in a Home tab.
pub(crate) async fn click_home(shared: &Arc<Shared>, click: &Click<'_>) -> anyhow::Result<u16> {
    let payload = shared.with(|world| world.click_home(click))?;
    interact(shared, &payload).await
}

async fn interact(shared: &Shared, payload: &Value) -> anyhow::Result<u16> {
    let body = serde_urlencoded::to_string([("payload", payload.to_string())])?;
    Ok(signed(shared, Door::Interactions, body.into()).send().await?.status().as_u16())
}

/// Types a slash command.
pub(crate) async fn say(shared: &Arc<Shared>, command: &Command<'_>) -> anyhow::Result<(u16, String)> {
    let (fields, asked) = shared.with(|world| world.command(command))?;
    let body = serde_urlencoded::to_string(fields)?;
    let answer = signed(shared, Door::Commands, body.into()).send().await?;
    let status = answer.status().as_u16();
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let body = answer.text().await?;
    if status == 200 {
        let shown = shared.with(|world| web_api::show_at_once(world, &asked, &kind, &body));
        shown.map_err(|refusal| anyhow::anyhow!(refusal.error)).context("Slack would not show the answer")?;
    }
    Ok((status, body))
}
