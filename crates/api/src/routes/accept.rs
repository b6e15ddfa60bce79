//! What a verified delivery of any kind comes to: committed, or of no interest, or not stored and to be sent again.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use models::InboundEvent;
use serde::Serialize;
use slack::Delivery;
use tracing::{Instrument, Span};

use crate::inbox::{Inbox, NotStored, count};
use crate::{fail_point, spans};

pub(super) async fn accept(inbox: &Inbox, delivery: Delivery) -> Response {
    match delivery {
        Delivery::Event(event) => store(inbox, event).await.into_response(),
        Delivery::Stop(stop) => {
            Span::current().record("tenant_id", stop.tenant_id.as_str());
            Span::current().record("user_id", stop.user_id.as_str());
            status(inbox.stop(*stop).await).into_response()
        }
        Delivery::UrlVerification { challenge } => Json(Echo { challenge }).into_response(),
        Delivery::Ignored { outcome, event } => {
            count(outcome, 1);
            if let Some(event) = event {
                inbox.note(*event);
            }
            StatusCode::OK.into_response()
        }
    }
}

/// What Slack checks the address by.
#[derive(Serialize)]
struct Echo {
    challenge: String,
}

async fn store(inbox: &Inbox, mut event: Box<InboundEvent>) -> StatusCode {
    Span::current().record("tenant_id", event.tenant_id.as_str());
    Span::current().record("user_id", event.user_id.as_str());
    Span::current().record("event_id", event.event_id.as_str());
    let span = spans::store(&event);
    // Whoever answers goes on from here.
    event.traceparent = span.in_scope(service::traceparent);
    let stored = inbox.commit(event).instrument(span.clone()).await;
    if stored.is_err() {
        spans::note_error(&span);
    }
    status(stored)
}

fn status(stored: Result<(), NotStored>) -> StatusCode {
    match stored {
        Ok(()) => {
            fail_point::reach("event_committed");
            StatusCode::OK
        }
        Err(not_stored) => {
            tracing::error!(error = %not_stored, "an event was not stored; Slack will deliver it again");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
