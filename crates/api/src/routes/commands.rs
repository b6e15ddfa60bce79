//! `POST /slack/commands`: slash commands, stored like events and answered later.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::SlackState;
use super::ingest::ingest_delivery;
use crate::extract::SignedForm;

pub(crate) async fn receive_command(State(door): State<Arc<SlackState>>, form: SignedForm) -> Response {
    let SignedForm::Signed(body) = form else { return StatusCode::OK.into_response() };
    match slack::parse_command(&body) {
        Ok(delivery) => ingest_delivery(&door.inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
