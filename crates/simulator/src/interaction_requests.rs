//! Requests that tell the app of clicks and slash commands.
//! Source: <https://docs.slack.dev/interactivity/handling-user-interaction>

use std::sync::Arc;

use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::fake_slack::{Click, SlashCommand};
use crate::request_urls::{RequestUrl, signed_request};
use crate::state::SimulatorState;
use crate::web_api;

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
