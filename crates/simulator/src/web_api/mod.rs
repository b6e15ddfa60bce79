//! Slack's Web API at `/api/<method>` (<https://docs.slack.dev/apis/web-api>).

mod agents;
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
mod limits;
mod methods;
mod openid;
mod people;
mod place;
mod refusal;
mod streams;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

pub use faults::Fault;
pub(crate) use limits::Limits;

use crate::shared::Shared;
use args::Args;
use refusal::{Answer, Refusal};

/// The route all methods share; Slack takes GET and POST for each.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/{method}", get(dispatch::call).post(dispatch::call))
}
