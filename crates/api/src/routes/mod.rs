//! What Slack posts to.

mod accept;
mod commands;
mod events;
mod interactions;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::StatusCode;
use axum::routing::post;
use slack::SigningSecret;

use crate::inbox::Inbox;

/// The routes, with their methods.
pub(crate) const ROUTES: [(&str, &str); 3] =
    [("/slack/events", "POST"), ("/slack/interactions", "POST"), ("/slack/commands", "POST")];

/// Slack's own payloads are far smaller.
const MAX_BODY_BYTES: usize = 1024 * 1024;

#[derive(Clone, FromRef)]
struct RouteState {
    signing_secret: SigningSecret,
    inbox: Inbox,
}

pub(crate) fn routes(signing_secret: SigningSecret, inbox: Inbox) -> Router {
    Router::new()
        .route("/slack/events", post(events::receive))
        .route("/slack/interactions", post(interactions::receive).get(probe))
        .route("/slack/commands", post(commands::receive).get(probe))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(RouteState { signing_secret, inbox })
}

/// Slack's check of the certificate may come as a GET. Nothing of it is read.
async fn probe() -> StatusCode {
    StatusCode::OK
}
