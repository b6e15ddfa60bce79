//! Slack's Web API at `/api/<method>` (<https://docs.slack.dev/apis/web-api>).

mod agents;
mod api_error;
mod args;
mod auth;
mod blocks;
mod chat;
mod content;
mod conversations;
mod dispatch;
mod elements;
mod faults;
mod files;
mod invocation;
mod methods;
mod openid;
mod rate_limits;
mod response_urls;
mod streams;
mod team_resolution;
mod users;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use faults::InjectedFault;
pub(crate) use rate_limits::MethodRateLimiter;
pub(crate) use response_urls::show_command_response;

use crate::state::SimulatorState;
use api_error::{WebApiError, WebApiResult};
use args::Args;

/// Routes of the methods, which all accept GET and POST, and of `response_url`s.
pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new()
        .route("/api/{method}", get(dispatch::handle_call).post(dispatch::handle_call))
        .route("/actions/{team}/{id}/{secret}", post(response_urls::receive_response))
        .route("/commands/{team}/{id}/{secret}", post(response_urls::receive_response))
}
