//! Messages that only one person sees.

use models::{ChannelId, MessageTs, UserId};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::client::transport_error;
use crate::messages::plain_text_fallback;
use crate::{BotAuth, Client, SlackError};

/// The hosts of response URLs of commands.
///
/// Source: <https://docs.slack.dev/interactivity/handling-user-interaction>
const RESPONSE_URL_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];

const RESPONSE_URL: &str = "response_url";

impl Client {
    /// `chat.postEphemeral`: posts a message that only this person sees and that Slack does not store.
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

    /// Responds to a command or a click; only that person sees it. The URL works five times within thirty
    /// minutes, and its path is a secret.
    pub async fn respond(&self, response_url: &SecretString, markdown: &str) -> Result<(), SlackError> {
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

/// Checks a response. Slack sends `ok` as plain text or as JSON, and errors as JSON with any status.
fn check_response(status: StatusCode, body: &str) -> Result<(), SlackError> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match body.get("error").and_then(Value::as_str) {
        Some(code) => Err(SlackError::api(RESPONSE_URL, code)),
        None if status.is_success() => Ok(()),
        None if status.is_client_error() => {
            Err(SlackError::api(RESPONSE_URL, &format!("http_{}", status.as_u16())))
        }
        None => Err(SlackError::unexpected_status(RESPONSE_URL, status)),
    }
}
