//! `POST /api/chat`, whole or as a stream of events, and `GET /api/openapi.json`, which describes it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::http_chat::{
    Caller, ChatAnswer, ChatEvent, ChatRequest, ChatService, Problem, StreamItem, openapi,
};

/// Ask, and go on in a conversation.
///
/// With `stream` the answer is sent as server-sent events: `delta` with a `ChatDelta` for the words as they come, and last
/// `done` with a `ChatEnd`, or `error` with a `Problem`. What goes wrong before the first word is told by the status, as
/// without `stream`.
#[utoipa::path(
    post,
    path = "/api/chat",
    operation_id = "chat",
    tag = "chat",
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer.", content(
            (ChatAnswer = "application/json"),
            (ChatEvent = "text/event-stream"),
        )),
        Problem,
    ),
    security(("key" = []))
)]
pub(crate) async fn ask(
    State(desk): State<Arc<ChatService>>,
    caller: Caller,
    request: ChatRequest,
) -> Result<Response, Problem> {
    let is_stream = request.stream;
    let said = desk.ask(caller, request);
    if is_stream { respond_stream(said).await } else { respond_whole(said).await }
}

pub(crate) async fn describe() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi::openapi_json()).into_response()
}

async fn respond_whole(mut said: UnboundedReceiver<StreamItem>) -> Result<Response, Problem> {
    let mut answer = String::new();
    while let Some(said) = said.recv().await {
        match said {
            StreamItem::Delta(words) => answer.push_str(&words),
            StreamItem::End(end) => {
                return Ok(([(CACHE_CONTROL, "no-store")], Json(ChatAnswer { answer, end })).into_response());
            }
            StreamItem::Problem(problem) => return Err(problem),
        }
    }
    Err(Problem::shutting_down())
}

/// Begins once there are words: until then a problem has a status of its own.
async fn respond_stream(mut said: UnboundedReceiver<StreamItem>) -> Result<Response, Problem> {
    let first = match said.recv().await {
        Some(StreamItem::Problem(problem)) => return Err(problem),
        first => first,
    };
    let events = stream::unfold((first, said), |(ready, mut said)| async {
        let next = match ready {
            Some(ready) => ready,
            None => said.recv().await?,
        };
        Some((Ok::<_, Infallible>(to_sse_event(&next)), (None, said)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn to_sse_event(said: &StreamItem) -> Event {
    match said {
        StreamItem::Delta(words) => {
            named_event("delta", &crate::http_chat::ChatDelta { text: words.clone() })
        }
        StreamItem::End(end) => named_event("done", end),
        StreamItem::Problem(problem) => named_event("error", problem),
    }
}

fn named_event(name: &str, data: &impl Serialize) -> Event {
    // These are plain structs, which are always written.
    Event::default().event(name).json_data(data).unwrap_or_default()
}
