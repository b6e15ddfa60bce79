//! The routes of Slack and of programs.

mod chat;
mod deliveries;
mod ingest;
mod openapi;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use slack::SigningSecret;

use crate::extract::SlackState;
use crate::http_chat::ChatService;
use crate::inbox::Inbox;

/// The routes with their methods.
pub(crate) const API_ROUTES: [(&str, &str); 5] = [
    ("/slack/events", "POST"),
    ("/slack/interactions", "POST"),
    ("/slack/commands", "POST"),
    ("/api/chat", "POST"),
    ("/api/openapi.json", "GET"),
];

pub(crate) fn router(signing_secret: SigningSecret, inbox: Inbox, chat: Arc<ChatService>) -> Router {
    let programs = Router::new()
        .route("/api/chat", post(chat::ask))
        .route("/api/openapi.json", get(openapi::describe))
        .with_state(chat);
    Router::new()
        .route("/slack/events", post(deliveries::receive_event))
        .route("/slack/interactions", post(deliveries::receive_interaction).get(deliveries::answer_ssl_check))
        .route("/slack/commands", post(deliveries::receive_command).get(deliveries::answer_ssl_check))
        .with_state(Arc::new(SlackState { signing_secret, inbox }))
        .merge(programs)
}
