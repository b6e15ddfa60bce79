//! Validates a call's text, blocks and metadata against Slack's limits.

use serde_json::Value;

use super::blocks;
use super::invocation::Invocation;
use super::{Args, WebApiError};
use crate::fake_slack::{MessageContent, assign_ids};

/// Maximum characters of `markdown_text` in any method.
const MAX_MARKDOWN_TEXT_CHARS: usize = 12_000;
/// Characters of `text` that `chat.postMessage` keeps; it truncates the rest.
const MAX_POST_TEXT_CHARS: usize = 40_000;
/// Maximum characters of `text` in `chat.update`.
const MAX_UPDATE_TEXT_CHARS: usize = 4_000;

/// Reads the content for `chat.postMessage` and `chat.postEphemeral`.
pub(crate) fn parse_post(args: &Args) -> Result<MessageContent, WebApiError> {
    let mut content = parse_content(args)?;
    if let Some((end, _)) = content.text.char_indices().nth(MAX_POST_TEXT_CHARS) {
        content.text.truncate(end);
    }
    Ok(content)
}

/// Reads the content for `chat.update`, which is stricter.
pub(crate) fn parse_update(args: &Args) -> Result<MessageContent, WebApiError> {
    if args.text("text").is_some_and(|text| text.chars().count() > MAX_UPDATE_TEXT_CHARS) {
        return Err("msg_too_long".into());
    }
    parse_content(args)
}

fn parse_content(args: &Args) -> Result<MessageContent, WebApiError> {
    let text = args.text("text").unwrap_or_default();
    let markdown = parse_markdown(args)?;
    let blocks = parse_blocks(args)?;
    if markdown.is_some() && (blocks.is_some() || !text.is_empty()) {
        return Err("markdown_text_conflict".into());
    }
    let is_markdown = markdown.is_some();
    let text = markdown.unwrap_or_else(|| text.to_owned());
    if text.trim().is_empty() && blocks.is_none() {
        return Err("no_text".into());
    }
    Ok(MessageContent { text, is_markdown, blocks, metadata: parse_metadata(args)? })
}

/// Reads `markdown_text`, if present.
pub(crate) fn parse_markdown(args: &Args) -> Result<Option<String>, WebApiError> {
    let text = args.text("markdown_text").filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.chars().count() > MAX_MARKDOWN_TEXT_CHARS) {
        return Err("msg_too_long".into());
    }
    Ok(text.map(str::to_owned))
}

/// Reads and validates `blocks`; an empty list counts as absent.
pub(crate) fn parse_blocks(args: &Args) -> Result<Option<Value>, WebApiError> {
    let Some(value) = args.json("blocks", "invalid_blocks_format")? else { return Ok(None) };
    let list = value.as_array().ok_or("invalid_blocks_format")?;
    blocks::check(list, blocks::MAX_MESSAGE_BLOCKS)?;
    Ok((!list.is_empty()).then(|| assign_ids(value)))
}

/// Reads `metadata`: `{}` removes it; otherwise it has a type and a payload.
pub(crate) fn parse_metadata(args: &Args) -> Result<Option<Value>, WebApiError> {
    let Some(value) = args.json("metadata", "invalid_metadata_format")? else { return Ok(None) };
    let object = value.as_object().ok_or("invalid_metadata_format")?;
    let complete = object.get("event_type").is_some_and(|kind| kind.as_str().is_some_and(|k| !k.is_empty()))
        && object.get("event_payload").is_some_and(Value::is_object);
    if object.is_empty() || complete { Ok(Some(value)) } else { Err("invalid_metadata_format".into()) }
}

/// Reads the text of a stream call: `markdown_text` or the text of its `chunks`.
pub(crate) fn parse_stream_text(args: &Args) -> Result<String, WebApiError> {
    let mut text = parse_markdown(args)?.unwrap_or_default();
    let chunks = args.json("chunks", "invalid_chunks")?.unwrap_or_else(|| Value::Array(Vec::new()));
    let chunks = chunks.as_array().ok_or("invalid_chunks")?;
    if !chunks.is_empty() && !text.is_empty() {
        return Err("markdown_text_conflict".into());
    }
    for chunk in chunks {
        match chunk["type"].as_str() {
            Some("markdown_text") => text.push_str(chunk["text"].as_str().ok_or("invalid_chunks")?),
            // Validated only; the page does not show it.
            Some("task_update") if is_valid_task_update(chunk) => {}
            Some("plan_update") if chunk["title"].is_string() => {}
            Some("blocks") => {
                blocks::check(
                    chunk["blocks"].as_array().ok_or("invalid_chunks")?,
                    blocks::MAX_MESSAGE_BLOCKS,
                )?;
            }
            _ => return Err("invalid_chunks".into()),
        }
    }
    if text.chars().count() > MAX_MARKDOWN_TEXT_CHARS {
        return Err("msg_too_long".into());
    }
    Ok(text)
}

/// Returns whether a chunk has the required fields of a `task_update`
/// (<https://docs.slack.dev/ai/developing-agents>).
fn is_valid_task_update(chunk: &Value) -> bool {
    let states = ["pending", "in_progress", "complete", "error"];
    chunk["id"].is_string()
        && chunk["title"].is_string()
        && chunk["status"].as_str().is_some_and(|status| states.contains(&status))
}

impl Invocation<'_> {
    /// The root a call names, if it names one: `""` and what is no `ts` are refused, as is what is not there.
    pub(crate) fn parse_thread(&self, channel: &str) -> Result<Option<String>, WebApiError> {
        let Some(ts) = self.args.text("thread_ts") else { return Ok(None) };
        let well_formed = ts.split_once('.').is_some_and(|(seconds, micros)| {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits(seconds) && digits(micros)
        });
        if !well_formed {
            return Err("invalid_thread_ts".into());
        }
        let root = self.channel(channel)?.messages.get(ts);
        match root {
            Some(message) if message.thread_ts.is_none() => Ok(Some(ts.to_owned())),
            Some(_) => Err("cannot_reply_to_message".into()),
            None => Err("thread_not_found".into()),
        }
    }
}
