//! Block Kit's limits (<https://docs.slack.dev/reference/block-kit/blocks>).

use std::collections::HashSet;

use serde_json::Value;

use super::{WebApiError, elements};

/// Maximum blocks in a message.
pub(crate) const MAX_MESSAGE_BLOCKS: usize = 50;
/// Maximum blocks in a Home tab.
pub(crate) const MAX_HOME_BLOCKS: usize = 100;

/// Maximum total characters of all `markdown` blocks in a payload.
const MAX_MARKDOWN_BLOCK_CHARS: usize = 12_000;

const BLOCK_TYPES: &[&str] = &[
    "actions",
    "alert",
    "card",
    "carousel",
    "container",
    "context",
    "context_actions",
    "data_table",
    "data_visualization",
    "divider",
    "file",
    "header",
    "image",
    "input",
    "markdown",
    "plan",
    "rich_text",
    "section",
    "table",
    "task_card",
    "video",
];

/// Rejects what Slack rejects: too many blocks, unknown types, empty or long texts, duplicate ids.
pub(crate) fn check(blocks: &[Value], limit: usize) -> Result<(), WebApiError> {
    if blocks.len() > limit {
        return invalid_block(&format!("no more than {limit} items allowed"), "/blocks");
    }
    let mut markdown = 0;
    let mut ids = HashSet::new();
    for (at, block) in blocks.iter().enumerate() {
        let path = format!("/blocks/{at}");
        let kind = block["type"].as_str().unwrap_or_default();
        if !BLOCK_TYPES.contains(&kind) {
            return invalid_block(&format!("unsupported type: {kind}"), &format!("{path}/type"));
        }
        match kind {
            "section" => check_section(block, &path)?,
            "header" => check_text_object(&block["text"], &["plain_text"], 150, &format!("{path}/text"))?,
            "markdown" => markdown += check_text(&block["text"], usize::MAX, &format!("{path}/text"))?,
            "context" | "context_actions" | "actions" => elements::check_elements(block, kind, &path)?,
            _ => {}
        }
        check_max_chars(block, "block_id", 255, &path)?;
        if block["block_id"].as_str().is_some_and(|id| !ids.insert(id)) {
            return invalid_block("block_id already exists", &format!("{path}/block_id"));
        }
    }
    if markdown > MAX_MARKDOWN_BLOCK_CHARS { Err("msg_blocks_too_long".into()) } else { Ok(()) }
}

fn check_section(block: &Value, path: &str) -> Result<(), WebApiError> {
    if let Some(accessory) = block.get("accessory") {
        elements::check_element(accessory, &format!("{path}/accessory"))?;
    }
    if block.get("text").is_some() || block.get("fields").is_none() {
        return check_text_object(&block["text"], &["mrkdwn", "plain_text"], 3_000, &format!("{path}/text"));
    }
    let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    if fields.is_empty() || fields.len() > 10 {
        return invalid_block("1 to 10 items allowed", &format!("{path}/fields"));
    }
    let kinds = &["mrkdwn", "plain_text"];
    fields.iter().try_for_each(|field| check_text_object(field, kinds, 2_000, &format!("{path}/fields")))
}

/// Rejects a text object of another kind, and an empty or long text.
pub(crate) fn check_text_object(
    value: &Value,
    kinds: &[&str],
    limit: usize,
    path: &str,
) -> Result<(), WebApiError> {
    if !value["type"].as_str().is_some_and(|kind| kinds.contains(&kind)) {
        return invalid_block(&format!("must be a text object of type {}", kinds.join(" or ")), path);
    }
    check_text(&value["text"], limit, path).map(drop)
}

/// Rejects an optional key whose text is too long.
pub(crate) fn check_max_chars(value: &Value, key: &str, limit: usize, path: &str) -> Result<(), WebApiError> {
    if value[key].as_str().is_some_and(|text| text.chars().count() > limit) {
        return invalid_block(
            &format!("must be less than {} characters", limit + 1),
            &format!("{path}/{key}"),
        );
    }
    Ok(())
}

/// Counts the characters of a text and rejects an empty one.
fn check_text(value: &Value, limit: usize, path: &str) -> Result<usize, WebApiError> {
    match value.as_str().unwrap_or_default().chars().count() {
        0 => invalid_block("must be more than 0 characters", path),
        length if length > limit => {
            invalid_block(&format!("must be less than {} characters", limit + 1), path)
        }
        length => Ok(length),
    }
}

pub(crate) fn invalid_block<T>(what: &str, path: &str) -> Result<T, WebApiError> {
    Err(WebApiError::with_message("invalid_blocks", format!("{what} [json-pointer:{path}]")))
}
