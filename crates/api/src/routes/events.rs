//! `POST /slack/events`: 200 means that the event is committed, or verified and of no interest.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use models::InboundEvent;
use serde_json::json;
use slack::Delivery;
use tracing::Span;

use crate::extract::Verified;
use crate::inbox::{Inbox, count};

pub(crate) async fn receive(State(inbox): State<Inbox>, Verified(body): Verified) -> Response {
    match slack::read_delivery(&body) {
        Ok(Delivery::Event(event)) => store(&inbox, *event).await.into_response(),
        Ok(Delivery::UrlVerification { challenge }) => {
            Json(json!({ "challenge": challenge })).into_response()
        }
        Ok(Delivery::Ignored(outcome)) => {
            count(outcome, 1);
            StatusCode::OK.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn store(inbox: &Inbox, event: InboundEvent) -> StatusCode {
    Span::current().record("tenant_id", event.tenant_id.as_str());
    Span::current().record("user_id", event.user_id.as_str());
    Span::current().record("event_id", event.event_id.as_str());
    match inbox.commit(event).await {
        Ok(()) => StatusCode::OK,
        Err(not_stored) => {
            tracing::error!(error = %not_stored, "an event was not stored; Slack will deliver it again");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
