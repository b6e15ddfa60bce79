//! The client of Slack's Web API, with one connection pool.
//! Source: <https://docs.slack.dev/apis/web-api/>

use std::time::Duration;

use models::TenantId;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tracing::Instrument;
use tracing::field::Empty;

use crate::agent_api::AgentApiSupport;
use crate::lease_guard::is_lease_lost;
use crate::method_backoff::MethodBackoff;
use crate::retry;
use crate::{BotAuth, SendGuard, SlackError};

/// All methods that are called, so that `enablebot_slack_calls_total` starts at zero for each. The last four
/// are not methods, but kinds of URLs.
pub const API_METHODS: [&str; 26] = [
    "agents.sessions.rename",
    "agents.sessions.setStatus",
    "assistant.threads.setStatus",
    "assistant.threads.setSuggestedPrompts",
    "assistant.threads.setTitle",
    "auth.revoke",
    "chat.appendStream",
    "chat.postEphemeral",
    "chat.postMessage",
    "chat.startStream",
    "chat.stopStream",
    "chat.update",
    "conversations.history",
    "conversations.open",
    "conversations.replies",
    "files.completeUploadExternal",
    "files.getUploadURLExternal",
    "files.info",
    "oauth.v2.access",
    "openid.connect.token",
    "users.info",
    "views.publish",
    "file_download",
    "file_upload",
    "response_url",
    "openid_keys",
];

/// The values of the label `result` of `enablebot_slack_calls_total`.
pub const CALL_RESULTS: [&str; 5] = ["ok", "rate_limited", "refused", "unanswered", "not_sent"];

/// The pause after a 429 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A client for Slack's Web API. Cheap to clone; clones share what they know of rate limits.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base_url: String,
    pub(crate) agent_api_support: AgentApiSupport,
    method_backoff: MethodBackoff,
}

impl Client {
    /// Creates a client. `base_url` is `https://slack.com` or a simulator's; `timeout` limits a whole call.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(base_url: &str, timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            // Slack's methods never redirect, and a redirect must not carry a token to another server.
            .redirect(Policy::none())
            .user_agent(concat!("enablebot/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            base_url,
            agent_api_support: AgentApiSupport::default(),
            method_backoff: MethodBackoff::default(),
        })
    }

    /// Calls a method with JSON arguments.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        bot: &BotAuth,
        mut arguments: Value,
    ) -> Result<Value, SlackError> {
        if let Some(team_id) = &bot.team_id {
            arguments["team_id"] = json!(team_id);
        }
        let request = self.post(method).bearer_auth(bot.token.expose_secret()).json(&arguments);
        self.send(method, Some(bot), request).await
    }

    /// Calls a method that accepts only form arguments, as methods that read do.
    pub(crate) async fn call_form(
        &self,
        method: &'static str,
        bot: &BotAuth,
        arguments: &[(&str, &str)],
    ) -> Result<Value, SlackError> {
        let mut arguments = arguments.to_vec();
        arguments.extend(bot.team_id.as_ref().map(|team_id| ("team_id", team_id.as_str())));
        let request = self.post(method).bearer_auth(bot.token.expose_secret()).form(&arguments);
        self.send(method, Some(bot), request).await
    }

    pub(crate) fn post(&self, method: &str) -> RequestBuilder {
        self.http.post(format!("{}/api/{method}", self.base_url))
    }

    /// Sends a call and checks `ok` in Slack's response.
    pub(crate) async fn send(
        &self,
        method: &'static str,
        bot: Option<&BotAuth>,
        request: RequestBuilder,
    ) -> Result<Value, SlackError> {
        retry::retry_idempotent(method, || async {
            // All bodies are in memory, so that they can be sent again.
            let request = request.try_clone().ok_or_else(|| unclonable_request_error(method))?;
            let send_guard = bot.and_then(|bot| bot.send_guard.as_ref());
            self.call_instrumented(method, bot.map(|bot| &bot.tenant_id), async {
                parse_api_response(method, send_request(method, request, send_guard).await?).await
            })
            .await
        })
        .await
    }

    /// Makes one call after any rate limit of its method, records its metric and span, and stores a new rate
    /// limit.
    pub(crate) async fn call_instrumented<T>(
        &self,
        method: &'static str,
        tenant_id: Option<&TenantId>,
        call: impl Future<Output = Result<T, SlackError>>,
    ) -> Result<T, SlackError> {
        if let Some(tenant_id) = tenant_id {
            self.method_backoff.until_ready(tenant_id, method).await?;
        }
        let span = tracing::info_span!(
            target: "otel",
            "call",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = Empty,
            slack.method = method,
            slack.result = Empty,
        );
        let result = call.instrument(span.clone()).await;
        let label = match &result {
            Ok(_) => "ok",
            Err(SlackError::RateLimited { .. }) => "rate_limited",
            Err(SlackError::Api { .. }) => "refused",
            Err(SlackError::Transport { .. }) => "unanswered",
            Err(SlackError::LeaseLost { .. }) => "not_sent",
        };
        span.record("slack.result", label);
        if result.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        metrics::counter!("enablebot_slack_calls_total", "method" => method, "result" => label).increment(1);
        if let (Err(SlackError::RateLimited { retry_after, .. }), Some(tenant_id)) = (&result, tenant_id) {
            self.method_backoff.record(tenant_id, method, *retry_after);
        }
        result
    }
}

/// Sends a request, if the guard's lease is still held. A status other than success is an error.
pub(crate) async fn send_request(
    method: &'static str,
    request: RequestBuilder,
    send_guard: Option<&SendGuard>,
) -> Result<Response, SlackError> {
    let (http, request) = request.build_split();
    let mut request = request.map_err(|error| transport_error(method, error))?;
    if let Some(send_guard) = send_guard {
        request = send_guard.guard(request);
    }
    let response = http.execute(request).await.map_err(|error| match is_lease_lost(&error) {
        true => SlackError::LeaseLost { method },
        false => transport_error(method, error),
    })?;
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS => Err(rate_limited_error(method, response.headers())),
        status if status.is_success() => Ok(response),
        status => Err(SlackError::unexpected_status(method, status)),
    }
}

/// Reads a method's response; `ok: false` is an error.
pub(crate) async fn parse_api_response(
    method: &'static str,
    response: Response,
) -> Result<Value, SlackError> {
    let headers = response.headers().clone();
    let body: Value = response.json().await.map_err(|error| transport_error(method, error))?;
    if body.get("ok").and_then(Value::as_bool) == Some(true) {
        return Ok(body);
    }
    let text = |key| body.get(key).and_then(Value::as_str).map(str::to_owned);
    match text("error") {
        Some(code) if matches!(code.as_str(), "ratelimited" | "rate_limited" | "message_limit_exceeded") => {
            Err(rate_limited_error(method, &headers))
        }
        Some(code) => Err(SlackError::Api { method, code, needed: text("needed") }),
        None => Err(SlackError::transport(method, "a response with neither ok nor error")),
    }
}

pub(crate) fn rate_limited_error(method: &'static str, headers: &HeaderMap) -> SlackError {
    let seconds = headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    SlackError::RateLimited { method, retry_after: seconds.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs) }
}

/// Converts a request error without its URL: those of files and of responses to commands are secret.
pub(crate) fn transport_error(method: &'static str, error: reqwest::Error) -> SlackError {
    SlackError::transport(method, error.without_url().to_string())
}

fn unclonable_request_error(method: &'static str) -> SlackError {
    SlackError::transport(method, "the request cannot be cloned")
}
