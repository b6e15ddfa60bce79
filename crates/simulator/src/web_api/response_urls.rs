//! Handles posts to a `response_url` and immediate responses to a command.
//! Source: <https://docs.slack.dev/interactivity/handling-user-interaction#message_responses>

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;

use super::{Args, WebApiError, content};
use crate::fake_slack::{FakeSlack, MessageContent, ResponseMode, ResponseTarget};
use crate::state::SimulatorState;

/// Accepts a response at the URL that came with a click or a command.
pub(crate) async fn receive_response(
    State(shared): State<Arc<SimulatorState>>,
    Path((team, _id, secret)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let taken = shared.with(|slack| {
        let asked = slack.consume_response_url(&team, &secret).map_err(WebApiError::from)?;
        if let Some(ts) = apply_response(slack, &asked, Args::parse("", kind, &body, true)?)? {
            slack.set_original(&secret, ts);
        }
        Ok::<_, WebApiError>(())
    });
    match taken {
        Ok(()) => axum::Json(json!({"ok": true})).into_response(),
        Err(refusal) => {
            let gone = ["invalid_url", "expired_url", "used_url"].contains(&refusal.error);
            let status = if gone { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
            (status, axum::Json(refusal.body())).into_response()
        }
    }
}

/// Shows the immediate response to a command: JSON, plain text or empty.
pub(crate) fn show_command_response(
    slack: &mut FakeSlack,
    asked: &ResponseTarget,
    content_type: &str,
    body: &str,
) -> Result<(), WebApiError> {
    if body.trim().is_empty() {
        return Ok(());
    }
    if content_type.starts_with("application/json") {
        apply_response(slack, asked, Args::parse("", content_type, body.as_bytes(), true)?)?;
    } else {
        let content = MessageContent { text: body.to_owned(), ..MessageContent::default() };
        slack.show_response(asked, content, ResponseMode::Ephemeral, None);
    }
    Ok(())
}

/// Applies a response and returns the `ts` of the message it posted.
fn apply_response(
    slack: &mut FakeSlack,
    asked: &ResponseTarget,
    mut args: Args,
) -> Result<Option<String>, WebApiError> {
    // Only `chat.*` accepts these.
    args.remove("markdown_text");
    if args.flag("delete_original") {
        slack.delete_original(asked);
        return Ok(None);
    }
    let content = content::parse_post(&args)?;
    let showing = match args.text("response_type") {
        _ if args.flag("replace_original") => ResponseMode::ReplaceOriginal,
        Some("in_channel") => ResponseMode::InChannel,
        None | Some("ephemeral") => ResponseMode::Ephemeral,
        Some(_) => return Err("invalid_arguments".into()),
    };
    Ok(slack.show_response(asked, content, showing, args.text("thread_ts")))
}
