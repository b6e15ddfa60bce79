//! `POST /slack/interactions`: buttons, stored like events and answered later.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::accept::accept;
use crate::extract::VerifiedForm;
use crate::inbox::Inbox;

pub(crate) async fn receive(State(inbox): State<Inbox>, form: VerifiedForm) -> Response {
    let VerifiedForm::Signed(body) = form else { return StatusCode::OK.into_response() };
    match slack::read_interaction(&body) {
        Ok(delivery) => accept(&inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
