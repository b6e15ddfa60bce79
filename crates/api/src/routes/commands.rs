//! `POST /slack/commands`: slash commands, stored like events and answered later.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Door;
use super::accept::accept;
use crate::extract::VerifiedForm;

pub(crate) async fn receive(State(door): State<Arc<Door>>, form: VerifiedForm) -> Response {
    let VerifiedForm::Signed(body) = form else { return StatusCode::OK.into_response() };
    match slack::read_command(&body) {
        Ok(delivery) => accept(&door.inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
