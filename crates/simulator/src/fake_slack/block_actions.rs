//! Clickable elements of blocks.

use serde_json::{Value, json};
use uuid::Uuid;

/// Adds the ids that Slack gives to blocks without one. A `markdown` block has no id.
pub(crate) fn assign_ids(mut blocks: Value) -> Value {
    for block in blocks.as_array_mut().into_iter().flatten() {
        if block["type"] == "markdown" {
            block.as_object_mut().map(|block| block.remove("block_id"));
            continue;
        }
        assign_id(block, "block_id");
        for element in elements_mut(block).filter(|element| is_interactive(element)) {
            assign_id(element, "action_id");
        }
    }
    blocks
}

/// Returns the `actions` entry for a click on the element with this id, and this value if given.
pub(crate) fn find_action(blocks: &Value, action_id: &str, value: Option<&str>) -> Option<Value> {
    blocks.as_array()?.iter().find_map(|block| {
        let element = elements(block).find_map(|element| click_action(element, action_id, value))?;
        let mut action = element;
        action["block_id"] = block["block_id"].clone();
        Some(action)
    })
}

fn click_action(element: &Value, action_id: &str, value: Option<&str>) -> Option<Value> {
    if element["action_id"] != action_id {
        return None;
    }
    // A feedback click identifies its button only by the value.
    let button = match element["type"].as_str()? {
        "button" | "icon_button" => element,
        "feedback_buttons" => [&element["positive_button"], &element["negative_button"]]
            .into_iter()
            .find(|button| value.is_some() && button["value"].as_str() == value)?,
        _ => return None,
    };
    if value.is_some() && button["value"].as_str() != value {
        return None;
    }
    let mut action = json!({"type": element["type"], "action_id": action_id});
    for key in ["text", "value", "style", "icon"] {
        if let Some(known) = button.get(key) {
            action[key] = known.clone();
        }
    }
    Some(action)
}

fn elements(block: &Value) -> impl Iterator<Item = &Value> {
    block["elements"].as_array().into_iter().flatten().chain(block.get("accessory"))
}

fn elements_mut(block: &mut Value) -> impl Iterator<Item = &mut Value> {
    let parts = block.as_object_mut().into_iter().flatten();
    let parts = parts.filter(|(key, _)| matches!(key.as_str(), "elements" | "accessory"));
    parts.flat_map(|(_, part)| match part {
        Value::Array(list) => list.iter_mut(),
        other => std::slice::from_mut(other).iter_mut(),
    })
}

fn is_interactive(element: &Value) -> bool {
    matches!(element["type"].as_str(), Some("button" | "icon_button" | "feedback_buttons"))
}

fn assign_id(part: &mut Value, key: &str) {
    if part[key].as_str().is_none_or(str::is_empty) {
        let id: String = Uuid::new_v4().simple().to_string().chars().take(5).collect();
        part[key] = json!(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_ids_are_assigned_and_found() {
        let thumb = |value: &str| json!({"text": {"type": "plain_text", "text": value}, "value": value});
        let blocks = assign_ids(json!([
            {"type": "markdown", "text": "x", "block_id": "dropped"},
            {"type": "context_actions", "elements": [{
                "type": "feedback_buttons", "action_id": "rate",
                "positive_button": thumb("good"), "negative_button": thumb("bad"),
            }]},
            {"type": "section", "block_id": "mine", "accessory": {"type": "button", "value": "v"}},
        ]));
        assert!(blocks[0].get("block_id").is_none());
        assert!(
            find_action(&blocks, "rate", None).is_none() && find_action(&blocks, "rate", Some("?")).is_none()
        );
        let rated = find_action(&blocks, "rate", Some("bad")).unwrap_or_default();
        assert_eq!((&rated["type"], &rated["value"]), (&json!("feedback_buttons"), &json!("bad")));
        assert_eq!(rated["block_id"], blocks[1]["block_id"]);
        let id = blocks[2]["accessory"]["action_id"].as_str().unwrap_or_default();
        assert_eq!(find_action(&blocks, id, None).unwrap_or_default()["block_id"], "mine");
    }
}
