//! `POST /slack/events`: 200 means that the event is committed, or verified and of no interest.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Door;
use super::accept::accept;
use crate::extract::Verified;

pub(crate) async fn receive(State(door): State<Arc<Door>>, Verified(body): Verified) -> Response {
    match slack::read_delivery(&body) {
        Ok(delivery) => accept(&door.inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
