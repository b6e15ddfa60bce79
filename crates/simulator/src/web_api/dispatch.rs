//! Dispatches a request to its method: token, scopes, rate limits, injected faults.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::invocation::Invocation;
use super::methods::Method;
use super::rate_limits::Tier;
use super::{Args, InjectedFault, WebApiError, WebApiResult};
use crate::fake_slack::{Call, FakeSlack};
use crate::state::SimulatorState;

/// Serves `/api/<method>`.
pub(crate) async fn handle_call(
    State(shared): State<Arc<SimulatorState>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let came_at = Utc::now();
    let fault = shared.with(|slack| slack.faults.get_mut(&name)?.pop_front());
    match fault {
        Some(InjectedFault::Delay(time)) => tokio::time::sleep(time).await,
        Some(InjectedFault::HttpStatus(status)) => {
            shared
                .with(|slack| log_call(slack, &name, None, &Err("http_error".into()), Value::Null, came_at));
            return StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY).into_response();
        }
        _ => {}
    }
    let injected = match fault {
        Some(InjectedFault::Error(error)) => Some(WebApiError::from(error)),
        Some(InjectedFault::RateLimited { retry_after }) => Some(WebApiError::rate_limited(retry_after)),
        _ => None,
    };
    let query = query.unwrap_or_default();
    let request =
        CallRequest { name: &name, query: &query, headers: &headers, body: &body, received_at: came_at };
    let answer = shared.with(|slack| run_method(slack, &request, injected));
    match fault {
        Some(InjectedFault::ResponseLost) => broken_response(),
        _ => {
            let mut response = to_response(answer);
            response.headers_mut().extend(shared.with(|slack| slack_headers(slack, &headers)));
            response
        }
    }
}

/// Headers of every response: Slack's time and the token's scopes.
fn slack_headers(slack: &FakeSlack, headers: &HeaderMap) -> HeaderMap {
    let now = (Utc::now() + slack.clock_offset).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let token = header_text(headers, header::AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
    let bot = slack.tokens.authenticate(token).ok().and_then(|tenant| slack.find_installation(tenant));
    let scopes = bot.map(|bot| bot.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(","));
    let named = [(header::DATE, Some(now)), (HeaderName::from_static("x-oauth-scopes"), scopes)];
    named.into_iter().filter_map(|(name, value)| Some((name, value?.parse().ok()?))).collect()
}

/// The request and its arrival time.
struct CallRequest<'r> {
    name: &'r str,
    query: &'r str,
    headers: &'r HeaderMap,
    body: &'r [u8],
    received_at: DateTime<Utc>,
}

/// Runs a method while holding the state lock, and logs the call.
fn run_method(slack: &mut FakeSlack, request: &CallRequest, injected: Option<WebApiError>) -> WebApiResult {
    let &CallRequest { name, query, headers, body, received_at: came_at } = request;
    let content_type = header_text(headers, header::CONTENT_TYPE);
    let method = Method::find(name);
    let args = Args::parse(query, content_type, body, method.is_none_or(|method| method.accepts_json));
    let (mut args, unreadable) = match args {
        Ok(args) => (args, None),
        Err(refusal) => (Args::default(), Some(refusal)),
    };
    let authorization = header_text(headers, header::AUTHORIZATION);
    let token = authorization.strip_prefix("Bearer ").map(str::to_owned).or_else(|| args.remove("token"));
    let basic = authorization.strip_prefix("Basic ").and_then(super::auth::parse_basic_auth);
    let token = token.unwrap_or_default();
    let mut invocation =
        Invocation { slack, args, tenant: String::new(), team: String::new(), token, basic_auth: basic };
    let answer = match (method, injected.or(unreadable)) {
        (None, _) => Err("unknown_method".into()),
        (_, Some(refusal)) => {
            invocation.tenant = invocation.authenticate().unwrap_or_default();
            Err(refusal)
        }
        (Some(method), None) => invocation.run(method),
    };
    let Invocation { slack, mut args, tenant, .. } = invocation;
    for secret in ["client_secret", "code", "code_verifier", "refresh_token"] {
        args.remove(secret);
    }
    log_call(slack, name, Some(tenant), &answer, args.into_value(), came_at);
    answer
}

impl Invocation<'_> {
    fn run(&mut self, method: &'static Method) -> WebApiResult {
        if method.needs_token() {
            self.tenant = self.authenticate()?;
            let granted = &self.bot()?.scopes;
            if !method.scopes.is_empty() && !method.scopes.iter().any(|scope| granted.contains(*scope)) {
                return Err(self.missing_scope(method.scopes.join(",").as_str()));
            }
            self.resolve_team(method)?;
        }
        self.check_rate_limit(method)?;
        (method.run)(self)
    }

    fn authenticate(&self) -> Result<String, WebApiError> {
        if self.token.is_empty() {
            return Err("not_authed".into());
        }
        Ok(self.slack.tokens.authenticate(&self.token)?.to_owned())
    }

    fn check_rate_limit(&mut self, method: &'static Method) -> Result<(), WebApiError> {
        if !self.slack.settings.has_rate_limits {
            return Ok(());
        }
        let history = matches!(method.name, "conversations.history" | "conversations.replies");
        let tier = if history && !self.slack.settings.is_marketplace_app {
            Tier::UnlistedHistory
        } else {
            method.tier
        };
        let channel = self.args.text("channel").filter(|_| matches!(tier, Tier::Post)).unwrap_or_default();
        let team = if self.team.is_empty() { &self.tenant } else { &self.team };
        let taken = self.slack.rate_limiter.acquire(tier, team, method.name, channel);
        taken.map_err(WebApiError::rate_limited)
    }
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn log_call(
    slack: &mut FakeSlack,
    method: &str,
    team: Option<String>,
    answer: &WebApiResult,
    args: Value,
    came_at: DateTime<Utc>,
) {
    slack.log_call(Call {
        method: method.to_owned(),
        tenant: team.filter(|team| !team.is_empty()),
        is_ok: answer.is_ok(),
        error: answer.as_ref().err().map(|refusal| refusal.error.to_owned()),
        args,
        received_at: came_at,
        finished_at: Utc::now(),
    });
}

/// Builds the response: HTTP 200 even for errors, as Slack does, and 429 over a limit.
fn to_response(answer: WebApiResult) -> Response {
    match answer {
        Ok(mut body) => {
            body["ok"] = json!(true);
            axum::Json(body).into_response()
        }
        Err(refusal) => {
            let mut response = axum::Json(refusal.body()).into_response();
            if let Some(seconds) = refusal.retry_after {
                *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// A response whose connection breaks before its end.
fn broken_response() -> Response {
    let lost = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("the answer is lost"))]);
    Response::new(Body::from_stream(lost))
}
