//! What Slack posts to, and what programs ask.

pub(crate) mod chat;
mod commands;
mod events;
mod ingest;
mod interactions;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use slack::SigningSecret;

use crate::http_chat::ChatService;
use crate::inbox::Inbox;

/// The routes, with their methods.
pub(crate) const API_ROUTES: [(&str, &str); 5] = [
    ("/slack/events", "POST"),
    ("/slack/interactions", "POST"),
    ("/slack/commands", "POST"),
    ("/api/chat", "POST"),
    ("/api/openapi.json", "GET"),
];

/// What Slack's routes share; behind one `Arc`, since it is cloned for each request.
pub(crate) struct SlackState {
    pub(crate) signing_secret: SigningSecret,
    pub(crate) inbox: Inbox,
}

pub(crate) fn router(signing_secret: SigningSecret, inbox: Inbox, desk: Arc<ChatService>) -> Router {
    let programs = Router::new()
        .route("/api/chat", post(chat::ask))
        .route("/api/openapi.json", get(chat::describe))
        .with_state(desk);
    Router::new()
        .route("/slack/events", post(events::receive_event))
        .route("/slack/interactions", post(interactions::receive_interaction).get(answer_ssl_check))
        .route("/slack/commands", post(commands::receive_command).get(answer_ssl_check))
        .with_state(Arc::new(SlackState { signing_secret, inbox }))
        .merge(programs)
}

/// Slack's check of the certificate may come as a GET. Nothing of it is read.
async fn answer_ssl_check() -> StatusCode {
    StatusCode::OK
}
