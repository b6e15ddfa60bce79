//! What Slack posts to, and what programs ask.

mod accept;
pub(crate) mod chat;
mod commands;
mod events;
mod interactions;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use slack::SigningSecret;

use crate::chat::Desk;
use crate::inbox::Inbox;

/// The routes, with their methods.
pub(crate) const ROUTES: [(&str, &str); 5] = [
    ("/slack/events", "POST"),
    ("/slack/interactions", "POST"),
    ("/slack/commands", "POST"),
    ("/api/chat", "POST"),
    ("/api/openapi.json", "GET"),
];

/// What Slack's routes share; behind one `Arc`, since it is cloned for each request.
pub(crate) struct Door {
    pub(crate) signing_secret: SigningSecret,
    pub(crate) inbox: Inbox,
}

pub(crate) fn routes(signing_secret: SigningSecret, inbox: Inbox, desk: Arc<Desk>) -> Router {
    let programs = Router::new()
        .route("/api/chat", post(chat::ask))
        .route("/api/openapi.json", get(chat::describe))
        .with_state(desk);
    Router::new()
        .route("/slack/events", post(events::receive))
        .route("/slack/interactions", post(interactions::receive).get(probe))
        .route("/slack/commands", post(commands::receive).get(probe))
        .with_state(Arc::new(Door { signing_secret, inbox }))
        .merge(programs)
}

/// Slack's check of the certificate may come as a GET. Nothing of it is read.
async fn probe() -> StatusCode {
    StatusCode::OK
}
