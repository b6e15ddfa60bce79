//! Read-only checks of the app's credentials, a bot token and Slack's clock.

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::client::{parse_api_response, send_request};
use crate::{BotAuth, Client, OAuthApp, SlackError};

/// The response header with a token's scopes. Source: <https://docs.slack.dev/authentication/tokens>
const SCOPES_HEADER: &str = "x-oauth-scopes";

/// An authorization code that Slack never issues.
const INVALID_OAUTH_CODE: &str = "none";

impl Client {
    /// `auth.test`: checks a token and returns its scopes; `None` if Slack does not send them.
    pub async fn test_token(&self, bot: &BotAuth) -> Result<Option<String>, SlackError> {
        const AUTH_TEST: &str = "auth.test";
        let request = self.post(AUTH_TEST).bearer_auth(bot.token.expose_secret());
        let response = send_request(AUTH_TEST, request, None).await?;
        let scopes = header_value(response.headers(), SCOPES_HEADER);
        parse_api_response(AUTH_TEST, response).await?;
        Ok(scopes)
    }

    /// Checks the app's id and secret with an invalid authorization code, which Slack checks after them.
    pub async fn test_app(&self, app: &OAuthApp) -> Result<(), SlackError> {
        match self.exchange_code(app, &SecretString::from(INVALID_OAUTH_CODE)).await {
            Err(SlackError::Api { code, .. }) if code == "invalid_code" => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(SlackError::api("oauth.v2.access", "takes_any_code")),
        }
    }

    /// Returns Slack's time to the second, from the `Date` header of `api.test`.
    pub async fn server_time(&self) -> Result<DateTime<Utc>, SlackError> {
        const API_TEST: &str = "api.test";
        let response = send_request(API_TEST, self.post(API_TEST).json(&json!({})), None).await?;
        let date = header_value(response.headers(), DATE.as_str());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(&date).ok());
        let missing = || SlackError::transport(API_TEST, "no Date header");
        date.map(|date| date.to_utc()).ok_or_else(missing)
    }
}

fn header_value(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
