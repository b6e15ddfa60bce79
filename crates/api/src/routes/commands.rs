//! `POST /slack/commands`: the manifest has no slash command; one that an admin added says how the bot is used.

use axum::Json;
use serde_json::{Value, json};

use crate::extract::Verified;

pub(crate) async fn receive(Verified(_): Verified) -> Json<Value> {
    Json(json!({
        "response_type": "ephemeral",
        "text": "Send me a direct message, or mention me in a channel: I answer in the thread.",
    }))
}
