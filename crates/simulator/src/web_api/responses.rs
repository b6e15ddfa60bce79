//! What the app posts to a `response_url`, and what it answers a command with at once.
//! Source: <https://docs.slack.dev/interactivity/handling-user-interaction#message_responses>

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;

use super::{Args, Refusal, content};
use crate::shared::Shared;
use crate::world::{Asked, Content, Showing, World};

/// Takes an answer at the address that came with a click or a command.
pub(crate) async fn take(
    State(shared): State<Arc<Shared>>,
    Path((team, _id, secret)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let taken = shared.with(|world| {
        let asked = world.use_response_url(&team, &secret).map_err(Refusal::from)?;
        if let Some(ts) = show(world, &asked, Args::read("", kind, &body, true)?)? {
            world.remember_answer(&secret, ts);
        }
        Ok::<_, Refusal>(())
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

/// Shows what a command was answered with, JSON or plain text; nothing is an answer too.
pub(crate) fn show_at_once(
    world: &mut World,
    asked: &Asked,
    content_type: &str,
    body: &str,
) -> Result<(), Refusal> {
    if body.trim().is_empty() {
        return Ok(());
    }
    if content_type.starts_with("application/json") {
        show(world, asked, Args::read("", content_type, body.as_bytes(), true)?)?;
    } else {
        let content = Content { text: body.to_owned(), ..Content::default() };
        world.answer(asked, content, Showing::Private, None);
    }
    Ok(())
}

/// Does what an answer says; the `ts` of what it brought.
fn show(world: &mut World, asked: &Asked, mut args: Args) -> Result<Option<String>, Refusal> {
    // Known to `chat.*` only.
    args.take("markdown_text");
    if args.flag("delete_original") {
        world.withdraw(asked);
        return Ok(None);
    }
    let content = content::to_post(&args)?;
    let showing = match args.text("response_type") {
        _ if args.flag("replace_original") => Showing::Replacing,
        Some("in_channel") => Showing::Public,
        None | Some("ephemeral") => Showing::Private,
        Some(_) => return Err("invalid_arguments".into()),
    };
    Ok(world.answer(asked, content, showing, args.text("thread_ts")))
}
