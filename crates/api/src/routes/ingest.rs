//! Stores a verified delivery of any kind, or ignores it. If it cannot be stored, Slack will send it again.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use models::InboundEvent;
use serde::Serialize;
use slack::ParsedDelivery;
use tracing::{Instrument, Span};

use crate::app_metrics::count_outcome;
use crate::inbox::{Inbox, InboxError};
use crate::{fail_point, trace_spans};

pub(super) async fn ingest_delivery(inbox: &Inbox, delivery: ParsedDelivery) -> Response {
    match delivery {
        ParsedDelivery::Event(event) => store_event(inbox, event).await.into_response(),
        ParsedDelivery::Stop(stop) => {
            Span::current().record("tenant_id", stop.tenant_id.as_str());
            Span::current().record("user_id", stop.user_id.as_str());
            to_status(inbox.request_stop(*stop).await).into_response()
        }
        ParsedDelivery::UrlVerification { challenge } => {
            Json(ChallengeResponse { challenge }).into_response()
        }
        ParsedDelivery::Ignored { outcome, event } => {
            count_outcome(outcome, 1);
            if let Some(event) = event {
                inbox.record_ignored(*event);
            }
            StatusCode::OK.into_response()
        }
    }
}

/// The response by which Slack verifies the URL.
#[derive(Serialize)]
struct ChallengeResponse {
    challenge: String,
}

async fn store_event(inbox: &Inbox, mut event: Box<InboundEvent>) -> StatusCode {
    Span::current().record("tenant_id", event.tenant_id.as_str());
    Span::current().record("user_id", event.user_id.as_str());
    Span::current().record("event_id", event.event_id.as_str());
    let span = trace_spans::store(&event);
    // The worker continues this trace.
    event.traceparent = span.in_scope(service::current_traceparent);
    let stored = inbox.commit_event(event).instrument(span.clone()).await;
    if stored.is_err() {
        trace_spans::set_error(&span);
    }
    to_status(stored)
}

fn to_status(stored: Result<(), InboxError>) -> StatusCode {
    match stored {
        Ok(()) => {
            fail_point::reach("event_committed");
            StatusCode::OK
        }
        Err(error) => {
            tracing::error!(error = %error, "event not stored; Slack will send it again");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
