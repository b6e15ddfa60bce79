//! Block Kit: accepted and rejected blocks.

use serde_json::{Value, json};

use crate::fake_app::FakeApp;

fn label(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

fn button(change: Value) -> Value {
    let mut button = json!({"type": "button", "action_id": "go", "text": label("Go"), "value": "1"});
    merge(&mut button, change);
    json!([{"type": "actions", "elements": [button]}])
}

fn feedback(change: Value) -> Value {
    let side = |text: &str| json!({"text": label(text), "value": text, "accessibility_label": text});
    let mut element = json!({"type": "feedback_buttons", "action_id": "feedback",
        "positive_button": side("Good"), "negative_button": side("Bad")});
    merge(&mut element, change);
    json!([{"type": "context_actions", "elements": [element]}])
}

fn merge(into: &mut Value, change: Value) {
    for (key, value) in change.as_object().cloned().unwrap_or_default() {
        into[key] = value;
    }
}

async fn post(app: &FakeApp, blocks: &Value) -> anyhow::Result<Value> {
    app.call("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x", "blocks": blocks})).await
}

#[tokio::test]
async fn interactive_elements_accepted_within_limits() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let icon = json!([{"type": "context_actions", "elements":
        [{"type": "icon_button", "icon": "trash", "text": label("Delete"), "action_id": "delete"}]}]);
    let markdown = json!([{"type": "markdown", "text": "x".repeat(12_000)}]);
    let footer = json!([{"type": "context", "elements": [{"type": "mrkdwn", "text": "by a *model*"}]}]);
    for blocks in [
        button(json!({"style": "danger", "value": "x".repeat(2_000)})),
        feedback(json!({})),
        icon,
        markdown,
        footer,
    ] {
        assert_eq!(post(&app, &blocks).await?["ok"], true, "{blocks}");
    }
    Ok(())
}

#[tokio::test]
async fn invalid_blocks_are_refused() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let one = button(json!({}))[0]["elements"][0].clone();
    let with = |elements: Value| json!([{"type": "actions", "elements": elements}]);
    let side = |text: &str, value: &str| json!({"text": label(text), "value": value});
    let inner = feedback(json!({}))[0]["elements"][0].clone();
    let divider = json!({"type": "divider", "block_id": "same"});
    for blocks in [
        button(json!({"action_id": "x".repeat(256)})),
        button(json!({"text": label(&"x".repeat(76))})),
        button(json!({"text": {"type": "mrkdwn", "text": "Go"}})),
        button(json!({"value": "x".repeat(2_001)})),
        button(json!({"style": "loud"})),
        with(json!([])),
        with(json!([one, one])),
        with(Value::Array(
            (0..26)
                .map(|n| json!({"type": "button", "action_id": n.to_string(), "text": label("Go")}))
                .collect(),
        )),
        with(json!([inner])),
        feedback(json!({"negative_button": null})),
        feedback(json!({"positive_button": side("", "x")})),
        feedback(json!({"positive_button": side("Good", "")})),
        feedback(json!({"positive_button": side("Good", &"x".repeat(2_001))})),
        json!([{"type": "context_actions", "elements": [one]}]),
        json!([{"type": "context_actions", "elements": vec![&inner; 6]}]),
        json!([{"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "accessory": {"type": "button"}}]),
        json!([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]),
        json!([divider, divider]),
    ] {
        let answer = post(&app, &blocks).await?;
        assert_eq!(answer["error"], "invalid_blocks", "{blocks}");
        assert!(
            answer["response_metadata"]["messages"][0]
                .as_str()
                .is_some_and(|why| why.contains("json-pointer"))
        );
    }
    let half = json!({"type": "markdown", "text": "x".repeat(6_001)});
    assert_eq!(post(&app, &json!([half, half])).await?["error"], "msg_blocks_too_long");
    Ok(())
}

#[tokio::test]
async fn stream_chunks_are_validated() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let started = app.call("chat.startStream", json!({"channel": "D0ADA", "thread_ts": root})).await?;
    let append = |chunk: Value| json!({"channel": "D0ADA", "ts": started["ts"], "chunks": [chunk]});
    let task = json!({"type": "task_update", "id": "1", "title": "Look", "status": "in_progress"});
    assert_eq!(app.call("chat.appendStream", append(task)).await?["ok"], true);
    for wrong in [
        json!({"type": "task_update", "id": "1", "title": "Look", "status": "soon"}),
        json!({"type": "plan_update"}),
        json!({"type": "markdown_text"}),
        json!({"type": "song"}),
    ] {
        assert_eq!(
            app.call_error("chat.appendStream", append(wrong.clone())).await?,
            "invalid_chunks",
            "{wrong}"
        );
    }
    Ok(())
}
