//! Block Kit's limits of what can be pressed (<https://docs.slack.dev/reference/block-kit/block-elements>).

use std::collections::HashSet;

use serde_json::Value;

use super::Refusal;
use super::blocks::{at_most, invalid, text_object};

/// What an `actions` block may hold. Feedback and icon buttons are for `context_actions` alone.
const ACTIONS: &[&str] = &[
    "button",
    "channels_select",
    "checkboxes",
    "conversations_select",
    "datepicker",
    "datetimepicker",
    "external_select",
    "multi_channels_select",
    "multi_conversations_select",
    "multi_external_select",
    "multi_static_select",
    "multi_users_select",
    "overflow",
    "radio_buttons",
    "rich_text_input",
    "static_select",
    "timepicker",
    "users_select",
    "workflow_button",
];
const CONTEXT: &[&str] = &["image", "mrkdwn", "plain_text"];
const CONTEXT_ACTIONS: &[&str] = &["feedback_buttons", "icon_button"];

/// Characters of a button's text and of its label for screen readers.
const BUTTON_TEXT: usize = 75;
/// Characters of a button's value.
const VALUE: usize = 2_000;

/// Refuses elements that are too many, of a kind that this block does not take, or wrong in themselves.
pub(crate) fn check(block: &Value, kind: &str, path: &str) -> Result<(), Refusal> {
    let (limit, kinds) = match kind {
        "context" => (10, CONTEXT),
        "context_actions" => (5, CONTEXT_ACTIONS),
        _ => (25, ACTIONS),
    };
    let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=limit).contains(&elements.len()) {
        return invalid(&format!("1 to {limit} items allowed"), &format!("{path}/elements"));
    }
    let mut ids = HashSet::new();
    for (at, element) in elements.iter().enumerate() {
        let path = format!("{path}/elements/{at}");
        let kind = element["type"].as_str().unwrap_or_default();
        if !kinds.contains(&kind) {
            return invalid(&format!("unsupported type: {kind}"), &format!("{path}/type"));
        }
        one(element, &path)?;
        if element["action_id"].as_str().is_some_and(|id| !ids.insert(id)) {
            return invalid("action_id already exists in this block", &format!("{path}/action_id"));
        }
    }
    Ok(())
}

/// Refuses an element that is wrong in itself; also a section's accessory.
pub(crate) fn one(element: &Value, path: &str) -> Result<(), Refusal> {
    at_most(element, "action_id", 255, path)?;
    match element["type"].as_str().unwrap_or_default() {
        "button" | "icon_button" => {
            text_object(&element["text"], &["plain_text"], BUTTON_TEXT, &format!("{path}/text"))?;
            at_most(element, "value", VALUE, path)?;
            at_most(element, "url", 3_000, path)?;
            at_most(element, "accessibility_label", BUTTON_TEXT, path)?;
            let style = element["style"].as_str();
            if style.is_some_and(|style| !["primary", "danger"].contains(&style)) {
                return invalid("must be primary or danger", &format!("{path}/style"));
            }
            if element["type"] == "icon_button" && !element["icon"].is_string() {
                return invalid("missing required field: icon", path);
            }
            Ok(())
        }
        "feedback_buttons" => ["positive_button", "negative_button"]
            .into_iter()
            .try_for_each(|side| feedback_button(&element[side], &format!("{path}/{side}"))),
        "mrkdwn" | "plain_text" => text_object(element, &["mrkdwn", "plain_text"], 3_000, path),
        _ => Ok(()),
    }
}

/// <https://docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element>
fn feedback_button(button: &Value, path: &str) -> Result<(), Refusal> {
    text_object(&button["text"], &["plain_text"], BUTTON_TEXT, &format!("{path}/text"))?;
    if button["value"].as_str().is_none_or(str::is_empty) {
        return invalid("missing required field: value", path);
    }
    at_most(button, "value", VALUE, path)?;
    at_most(button, "accessibility_label", BUTTON_TEXT, path)
}
