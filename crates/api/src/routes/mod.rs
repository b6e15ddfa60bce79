//! What Slack posts to.

mod accept;
mod commands;
mod events;
mod interactions;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use slack::SigningSecret;

use crate::inbox::Inbox;

/// The routes, with their methods.
pub(crate) const ROUTES: [(&str, &str); 3] =
    [("/slack/events", "POST"), ("/slack/interactions", "POST"), ("/slack/commands", "POST")];

/// What the routes share; behind one `Arc`, since it is cloned for each request.
pub(crate) struct Door {
    pub(crate) signing_secret: SigningSecret,
    pub(crate) inbox: Inbox,
}

pub(crate) fn routes(signing_secret: SigningSecret, inbox: Inbox) -> Router {
    Router::new()
        .route("/slack/events", post(events::receive))
        .route("/slack/interactions", post(interactions::receive).get(probe))
        .route("/slack/commands", post(commands::receive).get(probe))
        .with_state(Arc::new(Door { signing_secret, inbox }))
}

/// Slack's check of the certificate may come as a GET. Nothing of it is read.
async fn probe() -> StatusCode {
    StatusCode::OK
}
