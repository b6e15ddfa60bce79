//! What Slack thinks of the app and of a token, found out by calls that change nothing.

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::client::{deliver, unanswered};
use crate::{App, Bot, Client, SlackError};

/// The scopes of a token, beside each answer. Source: <https://docs.slack.dev/authentication/tokens>
const SCOPES_HEADER: &str = "x-oauth-scopes";

/// No code that Slack ever gave out.
const NO_CODE: &str = "none";

impl Client {
    /// `auth.test`: whether a token works, and the scopes that Slack grants it; `None` where Slack does not tell those.
    pub async fn test_token(&self, bot: &Bot) -> Result<Option<String>, SlackError> {
        const METHOD: &str = "auth.test";
        let request = self.post(METHOD).bearer_auth(bot.token.expose_secret());
        let response = deliver(METHOD, request, None).await?;
        let scopes = header(response.headers(), SCOPES_HEADER);
        let answer: Value = response.json().await.map_err(|error| unanswered(METHOD, error))?;
        match (answer["ok"].as_bool(), answer["error"].as_str()) {
            (Some(true), _) => Ok(scopes),
            (_, Some(code)) => Err(SlackError::refused(METHOD, code)),
            _ => Err(SlackError::Unanswered { method: METHOD, reason: "neither ok nor error".into() }),
        }
    }

    /// Whether Slack knows the app by its id and secret: it is offered a code that is none, which it looks at last.
    pub async fn test_app(&self, app: &App) -> Result<(), SlackError> {
        match self.exchange(app, &SecretString::from(NO_CODE)).await {
            Err(SlackError::Refused { code, .. }) if code == "invalid_code" => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(SlackError::refused("oauth.v2.access", "takes_any_code")),
        }
    }

    /// Slack's time, to the second, as the header `Date` of `api.test` has it.
    pub async fn now(&self) -> Result<DateTime<Utc>, SlackError> {
        const METHOD: &str = "api.test";
        let response = deliver(METHOD, self.post(METHOD).json(&json!({})), None).await?;
        let date = header(response.headers(), DATE.as_str());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(&date).ok());
        let none = || SlackError::Unanswered { method: METHOD, reason: "no Date".into() };
        date.map(|date| date.to_utc()).ok_or_else(none)
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
