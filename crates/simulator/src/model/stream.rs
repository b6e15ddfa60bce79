//! A completion as server-sent events, with the requested pauses and failures.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use futures_util::stream;

use super::completion::Completion;
use super::options::ModelOptions;
use crate::fake_slack::ModelCompletion;
use crate::state::SimulatorState;

/// Lets sent bytes leave before the connection breaks.
const FLUSH_DELAY: Duration = Duration::from_millis(10);

/// Index of the event with the first token; the event before it holds the role.
const FIRST_TOKEN_INDEX: usize = 1;

/// The next step on the connection.
enum StreamStep {
    /// Sends an event after a pause.
    Send(Duration, Bytes),
    /// Breaks the connection.
    Cut,
    /// Stays silent for good.
    Stall,
}

/// A streaming completion and the log that records its end.
type LoggedCompletion = (Arc<SimulatorState>, ModelCompletion);

pub(super) fn respond(
    completion: Completion,
    knobs: ModelOptions,
    include_usage: bool,
    logged: LoggedCompletion,
) -> Response {
    let steps = steps(&completion, &knobs, include_usage).into_iter().enumerate();
    let events = stream::unfold((steps, logged), async |(mut steps, (shared, mut answer))| {
        let event = match steps.next()? {
            (at, StreamStep::Send(pause, event)) => {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                if at == FIRST_TOKEN_INDEX {
                    answer.first_token_at = Utc::now();
                }
                Ok(event)
            }
            (_, StreamStep::Cut) => {
                tokio::time::sleep(FLUSH_DELAY).await;
                Err(std::io::Error::other("cut"))
            }
            (_, StreamStep::Stall) => match std::future::pending::<Infallible>().await {},
        };
        if steps.len() == 0 && event.is_ok() {
            answer.finished_at = Utc::now();
            shared.with(|slack| slack.log_model_completion(answer.clone()));
        }
        Some((event, (steps, (shared, answer))))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

/// A response whose connection breaks before its first byte.
pub(super) fn broken_response() -> Response {
    let cut = stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(cut))
}

fn steps(completion: &Completion, knobs: &ModelOptions, include_usage: bool) -> Vec<StreamStep> {
    let mut steps: Vec<StreamStep> = completion
        .to_chunks(include_usage)
        .into_iter()
        .enumerate()
        .map(|(at, chunk)| {
            // The first chunk is the role, and the last ones hold no tokens.
            let pause = match at {
                0 => knobs.ttft,
                at if at > 1 && at <= completion.tokens.len() => knobs.token_interval,
                _ => Duration::ZERO,
            };
            StreamStep::Send(pause, Bytes::from(format!("data: {chunk}\n\n")))
        })
        .collect();
    steps.push(StreamStep::Send(Duration::ZERO, Bytes::from_static(b"data: [DONE]\n\n")));
    let early = match (knobs.cut_after_tokens, knobs.stall_after_tokens) {
        (Some(tokens), _) => Some((tokens, StreamStep::Cut)),
        (None, Some(tokens)) => Some((tokens, StreamStep::Stall)),
        (None, None) => None,
    };
    if let Some((tokens, end)) = early {
        steps.truncate(tokens.min(completion.tokens.len()).saturating_add(1));
        steps.push(end);
    }
    steps
}
