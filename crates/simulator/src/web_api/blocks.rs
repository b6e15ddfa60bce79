//! Block Kit's limits (<https://docs.slack.dev/reference/block-kit/blocks>).

use std::collections::HashSet;

use serde_json::Value;

use super::{Refusal, elements};

/// Blocks in a message.
pub(crate) const MESSAGE_LIMIT: usize = 50;
/// Blocks in a Home tab.
pub(crate) const HOME_LIMIT: usize = 100;

/// Characters of all `markdown` blocks of a payload together.
const MARKDOWN_LIMIT: usize = 12_000;

const KNOWN: &[&str] = &[
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

/// Refuses what Slack would: too many blocks, unknown types, texts that are empty or too long, ids twice.
pub(crate) fn check(blocks: &[Value], limit: usize) -> Result<(), Refusal> {
    if blocks.len() > limit {
        return invalid(&format!("no more than {limit} items allowed"), "/blocks");
    }
    let mut markdown = 0;
    let mut ids = HashSet::new();
    for (at, block) in blocks.iter().enumerate() {
        let path = format!("/blocks/{at}");
        let kind = block["type"].as_str().unwrap_or_default();
        if !KNOWN.contains(&kind) {
            return invalid(&format!("unsupported type: {kind}"), &format!("{path}/type"));
        }
        match kind {
            "section" => section(block, &path)?,
            "header" => text_object(&block["text"], &["plain_text"], 150, &format!("{path}/text"))?,
            "markdown" => markdown += text(&block["text"], usize::MAX, &format!("{path}/text"))?,
            "context" | "context_actions" | "actions" => elements::check(block, kind, &path)?,
            _ => {}
        }
        at_most(block, "block_id", 255, &path)?;
        if block["block_id"].as_str().is_some_and(|id| !ids.insert(id)) {
            return invalid("block_id already exists", &format!("{path}/block_id"));
        }
    }
    if markdown > MARKDOWN_LIMIT { Err("msg_blocks_too_long".into()) } else { Ok(()) }
}

fn section(block: &Value, path: &str) -> Result<(), Refusal> {
    if let Some(accessory) = block.get("accessory") {
        elements::one(accessory, &format!("{path}/accessory"))?;
    }
    if block.get("text").is_some() || block.get("fields").is_none() {
        return text_object(&block["text"], &["mrkdwn", "plain_text"], 3_000, &format!("{path}/text"));
    }
    let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    if fields.is_empty() || fields.len() > 10 {
        return invalid("1 to 10 items allowed", &format!("{path}/fields"));
    }
    let kinds = &["mrkdwn", "plain_text"];
    fields.iter().try_for_each(|field| text_object(field, kinds, 2_000, &format!("{path}/fields")))
}

/// Refuses what is no text object of one of these kinds, or is empty or too long.
pub(crate) fn text_object(value: &Value, kinds: &[&str], limit: usize, path: &str) -> Result<(), Refusal> {
    if !value["type"].as_str().is_some_and(|kind| kinds.contains(&kind)) {
        return invalid(&format!("must be a text object of type {}", kinds.join(" or ")), path);
    }
    text(&value["text"], limit, path).map(drop)
}

/// Refuses a key whose text is too long; it may be missing.
pub(crate) fn at_most(value: &Value, key: &str, limit: usize, path: &str) -> Result<(), Refusal> {
    if value[key].as_str().is_some_and(|text| text.chars().count() > limit) {
        return invalid(&format!("must be less than {} characters", limit + 1), &format!("{path}/{key}"));
    }
    Ok(())
}

/// The characters of a text, which has to have some.
fn text(value: &Value, limit: usize, path: &str) -> Result<usize, Refusal> {
    match value.as_str().unwrap_or_default().chars().count() {
        0 => invalid("must be more than 0 characters", path),
        length if length > limit => invalid(&format!("must be less than {} characters", limit + 1), path),
        length => Ok(length),
    }
}

pub(crate) fn invalid<T>(what: &str, path: &str) -> Result<T, Refusal> {
    Err(Refusal::explained("invalid_blocks", format!("{what} [json-pointer:{path}]")))
}
