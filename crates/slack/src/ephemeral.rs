//! Words for one person only.

use models::{ChannelId, MessageTs, UserId};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::client::transport_error;
use crate::messages::plain_text_fallback;
use crate::{BotAuth, Client, SlackError};

/// Where answers to commands go. Source: <https://docs.slack.dev/interactivity/handling-user-interaction>
const RESPONSE_URL_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];

impl Client {
    /// `chat.postEphemeral`: a message that only this person sees, and that Slack does not keep.
    pub async fn post_ephemeral(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        thread_ts: Option<&MessageTs>,
        user_id: &UserId,
        markdown: &str,
    ) -> Result<(), SlackError> {
        let mut arguments = json!({ "channel": channel_id, "user": user_id, "markdown_text": markdown });
        if let Some(thread_ts) = thread_ts {
            arguments["thread_ts"] = json!(thread_ts);
        }
        self.call("chat.postEphemeral", bot, arguments).await.map(drop)
    }

    /// Answers a command or a click, seen by that person only. The address is good five times within thirty minutes,
    /// and its path is a secret.
    pub async fn respond(&self, response_url: &SecretString, markdown: &str) -> Result<(), SlackError> {
        const RESPONSE_URL: &str = "response_url";
        let url = Url::parse(response_url.expose_secret())
            .ok()
            .filter(|url| self.is_api_origin(url) || (url.scheme() == "https" && is_response_url_host(url)))
            .ok_or_else(|| SlackError::api(RESPONSE_URL, "foreign_response_url"))?;
        let request = self.http.post(url).json(&json!({
            "response_type": "ephemeral",
            "text": plain_text_fallback(markdown),
            "blocks": [{ "type": "markdown", "text": markdown }],
        }));
        self.call_instrumented(RESPONSE_URL, None, async {
            let response = request.send().await.map_err(|error| transport_error(RESPONSE_URL, error))?;
            let status = response.status();
            let body = response.text().await.map_err(|error| transport_error(RESPONSE_URL, error))?;
            check_response(status, &body)
        })
        .await
    }
}

fn is_response_url_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| RESPONSE_URL_HOSTS.contains(&host))
}

/// Slack answers `ok` as plain text or as JSON, and an error as JSON with or without a status of its own.
fn check_response(status: StatusCode, body: &str) -> Result<(), SlackError> {
    const RESPONSE_URL: &str = "response_url";
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    match answer.get("error").and_then(Value::as_str) {
        Some(code) => Err(SlackError::api(RESPONSE_URL, code)),
        None if status.is_success() => Ok(()),
        None if status.is_client_error() => {
            Err(SlackError::api(RESPONSE_URL, &format!("http_{}", status.as_u16())))
        }
        None => {
            Err(SlackError::Transport { method: RESPONSE_URL, reason: format!("HTTP {}", status.as_u16()) })
        }
    }
}
