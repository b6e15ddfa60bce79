//! `POST /slack/interactions`: buttons and menus. None of the bot's messages has any yet.

use axum::http::StatusCode;

use crate::extract::Verified;

pub(crate) async fn receive(Verified(_): Verified) -> StatusCode {
    StatusCode::OK
}
