//! Block Kit's limits (<https://docs.slack.dev/reference/block-kit/blocks>).

use serde_json::Value;

use super::Refusal;

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

/// Refuses what Slack would: too many blocks, unknown types, texts that are empty or too long.
pub(crate) fn check(blocks: &[Value], limit: usize) -> Result<(), Refusal> {
    if blocks.len() > limit {
        return invalid(format!("no more than {limit} items allowed [json-pointer:/blocks]"));
    }
    let mut markdown = 0;
    for (at, block) in blocks.iter().enumerate() {
        let kind = block["type"].as_str().unwrap_or_default();
        if !KNOWN.contains(&kind) {
            return invalid(format!("unsupported type: {kind} [json-pointer:/blocks/{at}/type]"));
        }
        match kind {
            "section" => section(block, at)?,
            "header" => text(&block["text"]["text"], 150, at)?,
            "markdown" => {
                text(&block["text"], usize::MAX, at)?;
                markdown += block["text"].as_str().unwrap_or_default().chars().count();
            }
            "context" | "context_actions" | "actions" => elements(block, kind, at)?,
            _ => {}
        }
        if block["block_id"].as_str().is_some_and(|id| id.chars().count() > 255) {
            return invalid(format!("must be less than 256 characters [json-pointer:/blocks/{at}/block_id]"));
        }
    }
    if markdown > MARKDOWN_LIMIT { Err("msg_blocks_too_long".into()) } else { Ok(()) }
}

fn section(block: &Value, at: usize) -> Result<(), Refusal> {
    if block.get("text").is_some() || block.get("fields").is_none() {
        return text(&block["text"]["text"], 3_000, at);
    }
    let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    if fields.is_empty() || fields.len() > 10 {
        return invalid(format!("1 to 10 items allowed [json-pointer:/blocks/{at}/fields]"));
    }
    fields.iter().try_for_each(|field| text(&field["text"], 2_000, at))
}

fn elements(block: &Value, kind: &str, at: usize) -> Result<(), Refusal> {
    let limit = match kind {
        "context" => 10,
        "context_actions" => 5,
        _ => 25,
    };
    match block["elements"].as_array() {
        Some(elements) if (1..=limit).contains(&elements.len()) => Ok(()),
        _ => invalid(format!("1 to {limit} items allowed [json-pointer:/blocks/{at}/elements]")),
    }
}

fn text(value: &Value, limit: usize, at: usize) -> Result<(), Refusal> {
    let length = value.as_str().unwrap_or_default().chars().count();
    match length {
        0 => invalid(format!("must be more than 0 characters [json-pointer:/blocks/{at}/text]")),
        length if length > limit => {
            invalid(format!("must be less than {} characters [json-pointer:/blocks/{at}/text]", limit + 1))
        }
        _ => Ok(()),
    }
}

fn invalid(line: String) -> Result<(), Refusal> {
    Err(Refusal::explained("invalid_blocks", line))
}
