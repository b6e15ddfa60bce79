//! An OpenAI-compatible model at `/v1` that knows canned answers and can be told to misbehave.
//! Source: <https://platform.openai.com/docs/api-reference/chat>

mod canned_answers;
mod completion;
mod options;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::Utc;
use serde_json::{Value, json};

use crate::fake_slack::ModelCompletion;
use crate::state::SimulatorState;
use completion::Completion;
use options::ModelOptions;

/// The only API key that is rejected.
const REJECTED_API_KEY: &str = "sk-unknown";

pub(crate) fn routes() -> Router<Arc<SimulatorState>> {
    Router::new().route("/v1/models", get(list_models)).route("/v1/chat/completions", post(create_completion))
}

async fn list_models(headers: HeaderMap) -> Response {
    if !has_key(&headers) {
        return missing_key_response();
    }
    if bearer_token(&headers) == Some(REJECTED_API_KEY) {
        return failure_response(StatusCode::UNAUTHORIZED);
    }
    let model = json!({"id": "offline", "object": "model", "created": 0, "owned_by": "simulator"});
    axum::Json(json!({"object": "list", "data": [model]})).into_response()
}

async fn create_completion(
    State(shared): State<Arc<SimulatorState>>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Response {
    if !has_key(&headers) {
        return missing_key_response();
    }
    if bearer_token(&headers) == Some(REJECTED_API_KEY) {
        return failure_response(StatusCode::UNAUTHORIZED);
    }
    let asked_at = Utc::now();
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error_response(StatusCode::BAD_REQUEST, "invalid_request_error", "The body is no JSON.");
    };
    let Some(model) = request["model"].as_str() else {
        return error_response(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "you must provide a model parameter",
        );
    };
    if request["messages"].as_array().is_none_or(Vec::is_empty) {
        let why = "Invalid 'messages': expected an array with at least one message.";
        return error_response(StatusCode::BAD_REQUEST, "invalid_request_error", why);
    }
    let (knobs, failure) = shared.with(|slack| {
        slack.log_model_request(request.clone());
        let knobs = ModelOptions::parse(model, slack.model_options_override.as_deref());
        let failure = knobs.fail_status.filter(|_| slack.model_failure_count < knobs.max_failures);
        slack.model_failure_count += u64::from(failure.is_some());
        (knobs, failure)
    });
    if let Some(status) = failure {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return failure_response(status);
    }
    let completion = Completion::from_request(&request, &knobs);
    if request["stream"] == true {
        let question = canned_answers::last_message_text(&request);
        let answer = ModelCompletion {
            last_message: question,
            requested_at: asked_at,
            first_token_at: asked_at,
            finished_at: asked_at,
        };
        let include_usage = request["stream_options"]["include_usage"] == true;
        stream::respond(completion, knobs, include_usage, (shared, answer))
    } else {
        respond_whole(completion, &knobs).await
    }
}

/// Responds in one piece after the time that the stream would have taken.
async fn respond_whole(completion: Completion, knobs: &ModelOptions) -> Response {
    let count = u32::try_from(completion.tokens.len()).unwrap_or(u32::MAX);
    tokio::time::sleep(knobs.ttft.saturating_add(knobs.token_interval.saturating_mul(count))).await;
    if knobs.stall_after_tokens.is_some() {
        std::future::pending::<()>().await;
    }
    if knobs.cut_after_tokens.is_some() {
        return stream::broken_response();
    }
    axum::Json(completion.to_json()).into_response()
}

fn has_key(headers: &HeaderMap) -> bool {
    bearer_token(headers).is_some_and(|key| !key.is_empty())
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim)
}

fn missing_key_response() -> Response {
    error_response(StatusCode::UNAUTHORIZED, "invalid_request_error", "You didn't provide an API key.")
}

/// Builds a requested failure with a message that fits its status.
fn failure_response(status: StatusCode) -> Response {
    let mut response = match status {
        StatusCode::UNAUTHORIZED => {
            error_response(status, "invalid_request_error", "Incorrect API key provided.")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            error_response(status, "rate_limit_exceeded", "Rate limit reached for requests.")
        }
        status if status.is_client_error() => {
            error_response(status, "invalid_request_error", "This request was refused.")
        }
        status => error_response(status, "server_error", "The server is overloaded or not ready yet."),
    };
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, 1.into());
    }
    response
}

/// Builds an error in OpenAI's format.
fn error_response(status: StatusCode, kind: &str, message: &str) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => Some("invalid_api_key"),
        StatusCode::TOO_MANY_REQUESTS => Some("rate_limit_exceeded"),
        _ => None,
    };
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    (status, axum::Json(body)).into_response()
}
