//! What Slack thinks of the app and of a token, found out by calls that change nothing.

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::client::{send_request, transport_error};
use crate::{BotAuth, Client, OAuthApp, SlackError};

/// The scopes of a token, beside each answer. Source: <https://docs.slack.dev/authentication/tokens>
const SCOPES_HEADER: &str = "x-oauth-scopes";

/// No code that Slack ever gave out.
const INVALID_OAUTH_CODE: &str = "none";

impl Client {
    /// `auth.test`: whether a token works, and the scopes that Slack grants it; `None` where Slack does not tell those.
    pub async fn test_token(&self, bot: &BotAuth) -> Result<Option<String>, SlackError> {
        const AUTH_TEST: &str = "auth.test";
        let request = self.post(AUTH_TEST).bearer_auth(bot.token.expose_secret());
        let response = send_request(AUTH_TEST, request, None).await?;
        let scopes = header_value(response.headers(), SCOPES_HEADER);
        let answer: Value = response.json().await.map_err(|error| transport_error(AUTH_TEST, error))?;
        match (answer["ok"].as_bool(), answer["error"].as_str()) {
            (Some(true), _) => Ok(scopes),
            (_, Some(code)) => Err(SlackError::api(AUTH_TEST, code)),
            _ => Err(SlackError::Transport { method: AUTH_TEST, reason: "neither ok nor error".into() }),
        }
    }

    /// Whether Slack knows the app by its id and secret: it is offered a code that is none, which it looks at last.
    pub async fn test_app(&self, app: &OAuthApp) -> Result<(), SlackError> {
        match self.exchange_code(app, &SecretString::from(INVALID_OAUTH_CODE)).await {
            Err(SlackError::Api { code, .. }) if code == "invalid_code" => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(SlackError::api("oauth.v2.access", "takes_any_code")),
        }
    }

    /// Slack's time, to the second, as the header `Date` of `api.test` has it.
    pub async fn server_time(&self) -> Result<DateTime<Utc>, SlackError> {
        const API_TEST: &str = "api.test";
        let response = send_request(API_TEST, self.post(API_TEST).json(&json!({})), None).await?;
        let date = header_value(response.headers(), DATE.as_str());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(&date).ok());
        let none = || SlackError::Transport { method: API_TEST, reason: "no Date".into() };
        date.map(|date| date.to_utc()).ok_or_else(none)
    }
}

fn header_value(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
