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
mod responses;
mod streams;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use faults::Fault;
pub(crate) use limits::Limits;
pub(crate) use responses::show_at_once;

use crate::shared::Shared;
use args::Args;
use refusal::{Answer, Refusal};

/// The route all methods share, for Slack takes GET and POST for each, and those of answers.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/{method}", get(dispatch::call).post(dispatch::call))
        .route("/actions/{team}/{id}/{secret}", post(responses::take))
        .route("/commands/{team}/{id}/{secret}", post(responses::take))
}
