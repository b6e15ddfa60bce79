//! `POST /slack/events`: 200 means that the event is committed, or verified and of no interest.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::accept::accept;
use crate::extract::Verified;
use crate::inbox::Inbox;

pub(crate) async fn receive(State(inbox): State<Inbox>, Verified(body): Verified) -> Response {
    match slack::read_delivery(&body) {
        Ok(delivery) => accept(&inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
