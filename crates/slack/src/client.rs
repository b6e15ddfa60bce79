//! Calls of Slack's Web API, over one connection pool.
//! Source: <https://docs.slack.dev/apis/web-api/>

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::SlackError;

/// The methods in use, so that `enablebot_slack_calls_total` stands at zero for each.
pub const METHODS: [&str; 11] = [
    "agents.sessions.setStatus",
    "assistant.threads.setStatus",
    "chat.appendStream",
    "chat.postMessage",
    "chat.startStream",
    "chat.stopStream",
    "chat.update",
    "conversations.history",
    "conversations.open",
    "conversations.replies",
    "oauth.v2.access",
];

/// What Slack says when it does not tell how long to wait.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Slack's Web API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
}

impl Client {
    /// `base_url` is `https://slack.com` or what stands in for it; `timeout` is for a call as a whole.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(base_url: &str, timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .user_agent(concat!("enablebot/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base_url: base_url.trim_end_matches('/').to_owned() })
    }

    /// Calls a method with JSON arguments.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        token: &SecretString,
        arguments: &Value,
    ) -> Result<Value, SlackError> {
        let request = self.post(method).bearer_auth(token.expose_secret()).json(arguments);
        self.send(method, request).await
    }

    /// Calls a method that takes its arguments only as a form or query, as the methods that read do.
    pub(crate) async fn call_form(
        &self,
        method: &'static str,
        token: &SecretString,
        arguments: &[(&str, &str)],
    ) -> Result<Value, SlackError> {
        let request = self.post(method).bearer_auth(token.expose_secret()).form(arguments);
        self.send(method, request).await
    }

    pub(crate) fn post(&self, method: &str) -> RequestBuilder {
        self.http.post(format!("{}/api/{method}", self.base_url))
    }

    /// Sends a call and reads what Slack's `ok` says.
    pub(crate) async fn send(
        &self,
        method: &'static str,
        request: RequestBuilder,
    ) -> Result<Value, SlackError> {
        let answer = read_answer(method, request).await;
        let result = match &answer {
            Ok(_) => "ok",
            Err(SlackError::RateLimited { .. }) => "rate_limited",
            Err(SlackError::Refused { .. }) => "refused",
            Err(SlackError::Unanswered { .. }) => "unanswered",
        };
        metrics::counter!("enablebot_slack_calls_total", "method" => method, "result" => result).increment(1);
        answer
    }
}

async fn read_answer(method: &'static str, request: RequestBuilder) -> Result<Value, SlackError> {
    // A reqwest error may name the address, which holds no secret, but nothing of the body.
    let unanswered = |error: reqwest::Error| SlackError::Unanswered { method, reason: error.to_string() };
    let response = request.send().await.map_err(unanswered)?;
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
        .map_or(DEFAULT_RETRY_AFTER, Duration::from_secs);
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(SlackError::RateLimited { method, retry_after });
    }
    if !status.is_success() {
        return Err(SlackError::Unanswered { method, reason: format!("HTTP {}", status.as_u16()) });
    }
    let answer: Value = response.json().await.map_err(unanswered)?;
    if answer.get("ok").and_then(Value::as_bool) == Some(true) {
        return Ok(answer);
    }
    let text = |key| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    match text("error").as_deref() {
        Some("ratelimited" | "rate_limited" | "message_limit_exceeded") => {
            Err(SlackError::RateLimited { method, retry_after })
        }
        Some(code) => Err(SlackError::Refused { method, code: code.to_owned(), needed: text("needed") }),
        None => Err(SlackError::Unanswered { method, reason: "neither ok nor error".into() }),
    }
}
