//! An OpenAI-compatible model at `/v1` that knows canned answers and can be told to misbehave.
//! Source: <https://platform.openai.com/docs/api-reference/chat>

mod answers;
mod completion;
mod knobs;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::Utc;
use serde_json::{Value, json};

use crate::shared::Shared;
use crate::world::ModelAnswer;
use completion::Completion;
use knobs::Knobs;

/// Any key is good but this one.
const UNKNOWN_KEY: &str = "sk-unknown";

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/v1/models", get(list)).route("/v1/chat/completions", post(complete))
}

async fn list(headers: HeaderMap) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    if bearer(&headers) == Some(UNKNOWN_KEY) {
        return failing(StatusCode::UNAUTHORIZED);
    }
    let model = json!({"id": "offline", "object": "model", "created": 0, "owned_by": "simulator"});
    axum::Json(json!({"object": "list", "data": [model]})).into_response()
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: bytes::Bytes) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    if bearer(&headers) == Some(UNKNOWN_KEY) {
        return failing(StatusCode::UNAUTHORIZED);
    }
    let asked_at = Utc::now();
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "The body is no JSON.");
    };
    let Some(model) = request["model"].as_str() else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "you must provide a model parameter");
    };
    if request["messages"].as_array().is_none_or(Vec::is_empty) {
        let why = "Invalid 'messages': expected an array with at least one message.";
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", why);
    }
    let (knobs, failure) = shared.with(|world| {
        world.log_model_request(request.clone());
        let knobs = Knobs::of(model, world.model_override.as_deref());
        let failure = knobs.fail.filter(|_| world.model_failures < knobs.fail_times);
        world.model_failures += u64::from(failure.is_some());
        (knobs, failure)
    });
    if let Some(status) = failure {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return failing(status);
    }
    let completion = Completion::of(&request, &knobs);
    if request["stream"] == true {
        let question = answers::question(&request);
        let answer = ModelAnswer { question, asked_at, first_word_at: asked_at, ended_at: asked_at };
        let include_usage = request["stream_options"]["include_usage"] == true;
        stream::respond(completion, knobs, include_usage, (shared, answer))
    } else {
        whole(completion, &knobs).await
    }
}

/// An answer in one piece, after the time its stream would have taken.
async fn whole(completion: Completion, knobs: &Knobs) -> Response {
    let count = u32::try_from(completion.tokens.len()).unwrap_or(u32::MAX);
    tokio::time::sleep(knobs.ttft.saturating_add(knobs.gap.saturating_mul(count))).await;
    if knobs.stall.is_some() {
        std::future::pending::<()>().await;
    }
    if knobs.cut.is_some() {
        return stream::broken();
    }
    axum::Json(completion.whole()).into_response()
}

fn has_key(headers: &HeaderMap) -> bool {
    bearer(headers).is_some_and(|key| !key.is_empty())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim)
}

fn no_key() -> Response {
    error(StatusCode::UNAUTHORIZED, "invalid_request_error", "You didn't provide an API key.")
}

/// A failure that was asked for, in words that fit its status.
fn failing(status: StatusCode) -> Response {
    let mut response = match status {
        StatusCode::UNAUTHORIZED => error(status, "invalid_request_error", "Incorrect API key provided."),
        StatusCode::TOO_MANY_REQUESTS => {
            error(status, "rate_limit_exceeded", "Rate limit reached for requests.")
        }
        status if status.is_client_error() => {
            error(status, "invalid_request_error", "This request was refused.")
        }
        status => error(status, "server_error", "The server is overloaded or not ready yet."),
    };
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, 1.into());
    }
    response
}

/// An error in OpenAI's shape.
fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => Some("invalid_api_key"),
        StatusCode::TOO_MANY_REQUESTS => Some("rate_limit_exceeded"),
        _ => None,
    };
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    (status, axum::Json(body)).into_response()
}
