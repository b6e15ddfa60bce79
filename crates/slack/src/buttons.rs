//! Buttons below a reply.
//! Source: <https://docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element>

use models::EventId;
use serde_json::{Value, json};

/// The `action_id` of feedback; its value is `positive:` or `negative:` and the event's id.
pub const ACTION_FEEDBACK: &str = "feedback";

/// The `action_id` of the Stop button; its value is the event's id.
pub const ACTION_STOP: &str = "stop";

/// The `action_id` of the Try again button; its value is the event's id.
pub const ACTION_TRY_AGAIN: &str = "try_again";

/// The buttons below a reply. Each contains the id of the event that the reply answers. Slack chooses the
/// block's id, since it requires a new one with every update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buttons {
    /// Rate the reply.
    Feedback,
    /// Stop the reply.
    Stop,
    /// Retry after a failure.
    TryAgain,
}

impl Buttons {
    /// Returns the block that contains the buttons.
    pub(crate) fn to_block(self, event_id: &EventId) -> Value {
        match self {
            Self::Feedback => json!({
                "type": "context_actions",
                "elements": [{
                    "type": "feedback_buttons",
                    "action_id": ACTION_FEEDBACK,
                    "positive_button": {
                        "text": plain_text("👍"),
                        "accessibility_label": "Good reply",
                        "value": format!("positive:{event_id}"),
                    },
                    "negative_button": {
                        "text": plain_text("👎"),
                        "accessibility_label": "Bad reply",
                        "value": format!("negative:{event_id}"),
                    },
                }],
            }),
            Self::Stop => button(ACTION_STOP, "Stop", event_id),
            Self::TryAgain => button(ACTION_TRY_AGAIN, "Try again", event_id),
        }
    }
}

fn button(action_id: &str, text: &str, event_id: &EventId) -> Value {
    json!({
        "type": "actions",
        "elements": [{ "type": "button", "action_id": action_id, "text": plain_text(text), "value": event_id }],
    })
}

fn plain_text(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_button_carries_event_id() {
        let event_id = EventId::from("Ev1");
        let feedback = Buttons::Feedback.to_block(&event_id);
        let element = &feedback["elements"][0];
        assert_eq!(element["positive_button"]["value"], "positive:Ev1");
        assert_eq!(element["negative_button"]["value"], "negative:Ev1");
        for (buttons, action_id) in [(Buttons::Stop, ACTION_STOP), (Buttons::TryAgain, ACTION_TRY_AGAIN)] {
            let block = buttons.to_block(&event_id);
            assert_eq!(block["elements"][0]["action_id"], action_id);
            assert_eq!(block["elements"][0]["value"], "Ev1");
        }
    }
}
