//! `POST /slack/events`: 200 means that the event is committed, or verified and of no interest.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::SlackState;
use super::ingest::ingest_delivery;
use crate::extract::SignedBody;

pub(crate) async fn receive_event(
    State(door): State<Arc<SlackState>>,
    SignedBody(body): SignedBody,
) -> Response {
    match slack::parse_delivery(&body) {
        Ok(delivery) => ingest_delivery(&door.inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
