//! `POST /api/chat`: the answer as a whole, or as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::http_chat::{
    Caller, ChatAnswer, ChatDelta, ChatEvent, ChatRequest, ChatService, Problem, StreamItem, start_chat,
};

/// Send a message, and continue a conversation.
///
/// With `stream` the answer is sent as server-sent events: `delta` with a `ChatDelta` for each piece of text,
/// and finally `done` with a `ChatEnd`, or `error` with a `Problem`. An error before the first text sets the
/// status, as without `stream`.
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
    State(service): State<Arc<ChatService>>,
    caller: Caller,
    request: ChatRequest,
) -> Result<Response, Problem> {
    let is_stream = request.stream;
    let items = start_chat(&service, caller, request);
    if is_stream { respond_stream(items).await } else { respond_whole(items).await }
}

async fn respond_whole(mut items: UnboundedReceiver<StreamItem>) -> Result<Response, Problem> {
    let mut answer = String::new();
    while let Some(item) = items.recv().await {
        match item {
            StreamItem::Delta(text) => answer.push_str(&text),
            StreamItem::End(end) => {
                return Ok(([(CACHE_CONTROL, "no-store")], Json(ChatAnswer { answer, end })).into_response());
            }
            StreamItem::Problem(problem) => return Err(problem),
        }
    }
    Err(Problem::shutting_down())
}

/// Waits for the first item, because a problem before the first text sets the status.
async fn respond_stream(mut items: UnboundedReceiver<StreamItem>) -> Result<Response, Problem> {
    let first = match items.recv().await {
        Some(StreamItem::Problem(problem)) => return Err(problem),
        first => first,
    };
    let events = stream::unfold((first, items), |(ready, mut items)| async {
        let next = match ready {
            Some(ready) => ready,
            None => items.recv().await?,
        };
        Some((Ok::<_, Infallible>(to_sse_event(&next)), (None, items)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn to_sse_event(item: &StreamItem) -> Event {
    match item {
        StreamItem::Delta(text) => named_event("delta", &ChatDelta { text: text.clone() }),
        StreamItem::End(end) => named_event("done", end),
        StreamItem::Problem(problem) => named_event("error", problem),
    }
}

fn named_event(name: &str, data: &impl Serialize) -> Event {
    // Plain structs always serialize.
    Event::default().event(name).json_data(data).unwrap_or_default()
}
