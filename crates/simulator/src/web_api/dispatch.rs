//! From a request to a method and back: token, scopes, limits, faults.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::limits::Tier;
use super::methods::Method;
use super::{Answer, Args, Fault, Refusal};
use crate::shared::Shared;
use crate::world::{Call, Channel, Installation, World};

/// A call on its way through a method.
pub(crate) struct Invocation<'w> {
    pub(crate) world: &'w mut World,
    pub(crate) args: Args,
    /// Whose token it is, a team's or an organisation's; empty for methods without a token.
    pub(crate) tenant: String,
    /// The team that the call is about; empty if it is about none.
    pub(crate) team: String,
    /// The token it came with.
    pub(crate) token: String,
    /// Client id and secret from HTTP Basic.
    pub(crate) basic: Option<(String, String)>,
}

/// Serves `/api/<method>`.
pub(crate) async fn call(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let came_at = Utc::now();
    let fault = shared.with(|world| world.faults.get_mut(&name)?.pop_front());
    match fault {
        Some(Fault::Hang(time)) => tokio::time::sleep(time).await,
        Some(Fault::Http(status)) => {
            shared.with(|world| log(world, &name, None, &Err("http_error".into()), Value::Null, came_at));
            return StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY).into_response();
        }
        _ => {}
    }
    let injected = match fault {
        Some(Fault::Error(error)) => Some(Refusal::from(error)),
        Some(Fault::RateLimited { retry_after }) => Some(Refusal::rate_limited(retry_after)),
        _ => None,
    };
    let query = query.unwrap_or_default();
    let request = Request { name: &name, query: &query, headers: &headers, body: &body, came_at };
    let answer = shared.with(|world| run(world, &request, injected));
    match fault {
        Some(Fault::AfterEffect) => broken(),
        _ => {
            let mut response = respond(answer);
            response.headers_mut().extend(shared.with(|world| beside(world, &headers)));
            response
        }
    }
}

/// What stands beside every answer: Slack's time, and the scopes of the token.
fn beside(world: &World, headers: &HeaderMap) -> HeaderMap {
    let now = (Utc::now() + world.clock_ahead).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let token = header_text(headers, header::AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
    let bot = world.tokens.tenant_of(token).ok().and_then(|tenant| world.installation_of(tenant));
    let scopes = bot.map(|bot| bot.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(","));
    let named = [(header::DATE, Some(now)), (HeaderName::from_static("x-oauth-scopes"), scopes)];
    named.into_iter().filter_map(|(name, value)| Some((name, value?.parse().ok()?))).collect()
}

/// What came, and when.
struct Request<'r> {
    name: &'r str,
    query: &'r str,
    headers: &'r HeaderMap,
    body: &'r [u8],
    came_at: DateTime<Utc>,
}

/// Runs a method under the world's lock and logs the call.
fn run(world: &mut World, request: &Request, injected: Option<Refusal>) -> Answer {
    let &Request { name, query, headers, body, came_at } = request;
    let content_type = header_text(headers, header::CONTENT_TYPE);
    let method = Method::find(name);
    let args = Args::read(query, content_type, body, method.is_none_or(|method| method.json));
    let (mut args, unreadable) = match args {
        Ok(args) => (args, None),
        Err(refusal) => (Args::default(), Some(refusal)),
    };
    let authorization = header_text(headers, header::AUTHORIZATION);
    let token = authorization.strip_prefix("Bearer ").map(str::to_owned).or_else(|| args.take("token"));
    let basic = authorization.strip_prefix("Basic ").and_then(super::auth::read_basic);
    let token = token.unwrap_or_default();
    let mut invocation = Invocation { world, args, tenant: String::new(), team: String::new(), token, basic };
    let answer = match (method, injected.or(unreadable)) {
        (None, _) => Err("unknown_method".into()),
        (_, Some(refusal)) => {
            invocation.tenant = invocation.tenant_of_token().unwrap_or_default();
            Err(refusal)
        }
        (Some(method), None) => invocation.run(method),
    };
    let Invocation { world, mut args, tenant, .. } = invocation;
    for secret in ["client_secret", "code", "code_verifier", "refresh_token"] {
        args.take(secret);
    }
    log(world, name, Some(tenant), &answer, args.into_value(), came_at);
    answer
}

impl Invocation<'_> {
    fn run(&mut self, method: &'static Method) -> Answer {
        if method.needs_token() {
            self.tenant = self.tenant_of_token()?;
            let granted = &self.bot()?.scopes;
            if !method.scopes.is_empty() && !method.scopes.iter().any(|scope| granted.contains(*scope)) {
                return Err(self.lacks(method.scopes.join(",").as_str()));
            }
            self.locate(method)?;
        }
        self.limit(method)?;
        (method.run)(self)
    }

    fn tenant_of_token(&self) -> Result<String, Refusal> {
        if self.token.is_empty() {
            return Err("not_authed".into());
        }
        Ok(self.world.tokens.tenant_of(&self.token)?.to_owned())
    }

    fn limit(&mut self, method: &'static Method) -> Result<(), Refusal> {
        if !self.world.settings.rate_limits {
            return Ok(());
        }
        let history = matches!(method.name, "conversations.history" | "conversations.replies");
        let tier = if history && !self.world.settings.marketplace { Tier::History } else { method.tier };
        let channel = self.args.text("channel").filter(|_| matches!(tier, Tier::Post)).unwrap_or_default();
        let team = if self.team.is_empty() { &self.tenant } else { &self.team };
        let taken = self.world.limits.take(tier, team, method.name, channel);
        taken.map_err(Refusal::rate_limited)
    }

    /// The installation the token is of.
    pub(crate) fn bot(&self) -> Result<&Installation, Refusal> {
        self.world.installation_of(&self.tenant).ok_or_else(|| "account_inactive".into())
    }

    /// `missing_scope`, with what the token has.
    pub(crate) fn lacks(&self, needed: &str) -> Refusal {
        let provided =
            self.bot().map(|bot| bot.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(","));
        Refusal::missing_scope(needed, provided.unwrap_or_default())
    }

    /// A channel of the call's team that the bot is in.
    pub(crate) fn channel(&self, id: &str) -> Result<&Channel, Refusal> {
        let team = self.world.teams.get(&self.team).ok_or("team_not_found")?;
        let channel = team.channels.get(id).ok_or("channel_not_found")?;
        if channel.bot_is_member { Ok(channel) } else { Err("not_in_channel".into()) }
    }
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn log(
    world: &mut World,
    method: &str,
    team: Option<String>,
    answer: &Answer,
    args: Value,
    came_at: DateTime<Utc>,
) {
    world.log_call(Call {
        method: method.to_owned(),
        team: team.filter(|team| !team.is_empty()),
        ok: answer.is_ok(),
        error: answer.as_ref().err().map(|refusal| refusal.error.to_owned()),
        args,
        came_at,
        at: Utc::now(),
    });
}

/// HTTP 200 also for errors, as Slack does, but 429 over a limit.
fn respond(answer: Answer) -> Response {
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

/// An answer whose connection breaks before its end.
fn broken() -> Response {
    let lost = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("the answer is lost"))]);
    Response::new(Body::from_stream(lost))
}
