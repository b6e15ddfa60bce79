//! Slack's routes: events, interactions (buttons) and slash commands. 200 means that the event is committed,
//! or verified and ignored. All are answered later, by the worker.

use std::fmt::Display;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use slack::{ParsedDelivery, parse_command, parse_delivery, parse_interaction};

use super::ingest::ingest_delivery;
use crate::extract::{SignedBody, SignedForm, SlackState};
use crate::inbox::Inbox;

/// `POST /slack/events`.
pub(super) async fn receive_event(
    State(state): State<Arc<SlackState>>,
    SignedBody(body): SignedBody,
) -> Response {
    ingest_parsed(&state.inbox, parse_delivery(&body)).await
}

/// `POST /slack/interactions`.
pub(super) async fn receive_interaction(State(state): State<Arc<SlackState>>, form: SignedForm) -> Response {
    ingest_form(&state.inbox, form, |body| parse_interaction(body)).await
}

/// `POST /slack/commands`.
pub(super) async fn receive_command(State(state): State<Arc<SlackState>>, form: SignedForm) -> Response {
    ingest_form(&state.inbox, form, |body| parse_command(body)).await
}

/// Answers Slack's check of the certificate, which may be a GET without content.
pub(super) async fn answer_ssl_check() -> StatusCode {
    StatusCode::OK
}

async fn ingest_form<E: Display>(
    inbox: &Inbox,
    form: SignedForm,
    parse: fn(&Bytes) -> Result<ParsedDelivery, E>,
) -> Response {
    match form {
        SignedForm::Signed(body) => ingest_parsed(inbox, parse(&body)).await,
        SignedForm::SslCheck => StatusCode::OK.into_response(),
    }
}

async fn ingest_parsed<E: Display>(inbox: &Inbox, parsed: Result<ParsedDelivery, E>) -> Response {
    match parsed {
        Ok(delivery) => ingest_delivery(inbox, delivery).await,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
