//! Signed deliveries of direct messages as Slack posts them, built before the clock starts.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use uuid::Uuid;

use crate::settings::SIGNING_SECRET;

/// People who write, each in their own DM.
const DM_USERS: usize = 200;

/// The installation that receives the messages.
pub(super) struct InstalledBot {
    pub(super) team: String,
    pub(super) app: String,
    pub(super) user: String,
}

/// Builds `count` complete HTTP requests, each with a different message.
pub(super) fn signed_messages(bot: &InstalledBot, port: u16, count: usize) -> Result<Vec<Vec<u8>>> {
    let now = unix_micros()?;
    let request = |index| {
        let micros = now + index as u64;
        signed_request(port, micros, message_envelope(bot, micros, index % DM_USERS))
    };
    (0..count).map(request).collect()
}

/// Builds `count` requests that are ignored after verification, as long as those of [`signed_messages`].
pub(super) fn signed_noops(bot: &InstalledBot, port: u16, count: usize) -> Result<Vec<Vec<u8>>> {
    let now = unix_micros()?;
    let filling = "-".repeat(message_envelope(bot, now, 0).len() - NOOP_EVENT_PREFIX.len() - 2);
    let check = signed_request(port, now, format!("{NOOP_EVENT_PREFIX}{filling}\"}}"))?;
    Ok(vec![check; count])
}

/// The beginning of Slack's rate limit event (<https://docs.slack.dev/reference/events/app_rate_limited>),
/// before its padding. The service ignores this event.
const NOOP_EVENT_PREFIX: &str = r#"{"type":"app_rate_limited","team_id":"T0ACME","minute_rate_limited":1518467820,"api_app_id":"A0BOT","token":""#;

/// Returns the Unix time in microseconds.
fn unix_micros() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

fn signed_request(port: u16, micros: u64, body: String) -> Result<Vec<u8>> {
    let timestamp = (micros / 1_000_000).to_string();
    let signature = sign(&timestamp, &body)?;
    let head = format!(
        "POST /slack/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n\
         Accept: */*\r\nContent-Type: application/json\r\nX-Slack-Request-Timestamp: {timestamp}\r\n\
         X-Slack-Signature: {signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Ok((head + &body).into_bytes())
}

fn message_envelope(bot: &InstalledBot, micros: u64, person: usize) -> String {
    let ts = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let (user, channel) = (format!("U0PERSON{person:04}"), format!("D0PERSON{person:04}"));
    let text = "Could you tell me what we agreed on about the roll-out of the new price list, and who still has to \
                sign it off before Friday? The last I heard was that finance wanted to see the numbers again.";
    json!({
        "token": "verification", "team_id": bot.team, "context_team_id": bot.team, "api_app_id": bot.app,
        "event": {
            "client_msg_id": Uuid::new_v4(), "type": "message", "user": user, "text": text, "ts": ts,
            "team": bot.team, "channel": channel, "event_ts": ts, "channel_type": "im",
            "blocks": [{"type": "rich_text", "block_id": "b1aZ", "elements": [
                {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}]}],
        },
        "type": "event_callback", "event_id": format!("Ev{:X}", Uuid::new_v4().simple()),
        "event_time": micros / 1_000_000,
        "authorizations": [{"enterprise_id": null, "team_id": bot.team, "user_id": bot.user, "is_bot": true,
                            "is_enterprise_install": false}],
        "is_ext_shared_channel": false, "event_context": format!("4-message-{}", Uuid::new_v4().simple()),
    })
    .to_string()
}

/// Signs like Slack. It is a second implementation, so that `api` does not verify its own code.
fn sign(timestamp: &str, body: &str) -> Result<String> {
    let mac =
        Hmac::<Sha256>::new_from_slice(SIGNING_SECRET.as_bytes()).ok().context("a key of any length")?;
    let digest = mac.chain_update(format!("v0:{timestamp}:{body}")).finalize();
    Ok(format!("v0={}", hex::encode(digest.into_bytes())))
}
