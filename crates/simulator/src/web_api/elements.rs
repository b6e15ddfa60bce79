//! Block Kit's limits of what can be pressed (<https://docs.slack.dev/reference/block-kit/block-elements>).

use std::collections::HashSet;

use serde_json::Value;

use super::WebApiError;
use super::blocks::{check_max_chars, check_text_object, invalid_block};

/// Elements allowed in an `actions` block. Only `context_actions` allows feedback and icon buttons.
const ACTIONS_ELEMENTS: &[&str] = &[
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
const CONTEXT_ELEMENTS: &[&str] = &["image", "mrkdwn", "plain_text"];
const CONTEXT_ACTIONS_ELEMENTS: &[&str] = &["feedback_buttons", "icon_button"];

/// Maximum characters of a button's text and of its accessibility label.
const MAX_BUTTON_TEXT_CHARS: usize = 75;
/// Maximum characters of a button's value.
const MAX_BUTTON_VALUE_CHARS: usize = 2_000;

/// Rejects too many elements, elements of a kind that this block does not allow, and invalid elements.
pub(crate) fn check_elements(block: &Value, kind: &str, path: &str) -> Result<(), WebApiError> {
    let (limit, kinds) = match kind {
        "context" => (10, CONTEXT_ELEMENTS),
        "context_actions" => (5, CONTEXT_ACTIONS_ELEMENTS),
        _ => (25, ACTIONS_ELEMENTS),
    };
    let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=limit).contains(&elements.len()) {
        return invalid_block(&format!("1 to {limit} items allowed"), &format!("{path}/elements"));
    }
    let mut ids = HashSet::new();
    for (at, element) in elements.iter().enumerate() {
        let path = format!("{path}/elements/{at}");
        let kind = element["type"].as_str().unwrap_or_default();
        if !kinds.contains(&kind) {
            return invalid_block(&format!("unsupported type: {kind}"), &format!("{path}/type"));
        }
        check_element(element, &path)?;
        if element["action_id"].as_str().is_some_and(|id| !ids.insert(id)) {
            return invalid_block("action_id already exists in this block", &format!("{path}/action_id"));
        }
    }
    Ok(())
}

/// Rejects an invalid element; also checks a section's accessory.
pub(crate) fn check_element(element: &Value, path: &str) -> Result<(), WebApiError> {
    check_max_chars(element, "action_id", 255, path)?;
    match element["type"].as_str().unwrap_or_default() {
        "button" | "icon_button" => {
            check_text_object(
                &element["text"],
                &["plain_text"],
                MAX_BUTTON_TEXT_CHARS,
                &format!("{path}/text"),
            )?;
            check_max_chars(element, "value", MAX_BUTTON_VALUE_CHARS, path)?;
            check_max_chars(element, "url", 3_000, path)?;
            check_max_chars(element, "accessibility_label", MAX_BUTTON_TEXT_CHARS, path)?;
            let style = element["style"].as_str();
            if style.is_some_and(|style| !["primary", "danger"].contains(&style)) {
                return invalid_block("must be primary or danger", &format!("{path}/style"));
            }
            if element["type"] == "icon_button" && !element["icon"].is_string() {
                return invalid_block("missing required field: icon", path);
            }
            Ok(())
        }
        "feedback_buttons" => ["positive_button", "negative_button"]
            .into_iter()
            .try_for_each(|side| check_feedback_button(&element[side], &format!("{path}/{side}"))),
        "mrkdwn" | "plain_text" => check_text_object(element, &["mrkdwn", "plain_text"], 3_000, path),
        _ => Ok(()),
    }
}

/// <https://docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element>
fn check_feedback_button(button: &Value, path: &str) -> Result<(), WebApiError> {
    check_text_object(&button["text"], &["plain_text"], MAX_BUTTON_TEXT_CHARS, &format!("{path}/text"))?;
    if button["value"].as_str().is_none_or(str::is_empty) {
        return invalid_block("missing required field: value", path);
    }
    check_max_chars(button, "value", MAX_BUTTON_VALUE_CHARS, path)?;
    check_max_chars(button, "accessibility_label", MAX_BUTTON_TEXT_CHARS, path)
}
