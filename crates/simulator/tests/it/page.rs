//! The chat page's files and data.

use futures_util::StreamExt;
use serde_json::{Value, json};
use simulator::FakeSlack;

use crate::fake_app::{FakeApp, RECEIVE_TIMEOUT};
use crate::form_app::FormApp;

#[tokio::test]
async fn typed_text_is_escaped_and_mentions_resolved() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let url = |path: &str| format!("{}{path}", app.sim.base_url());
    let changes = app.http.get(url("/page/changes?team=T0ACME")).send().await?;
    let typed =
        json!({"team": "T0ACME", "channel": "C0GENERAL", "user": "U0ADA", "text": "@EnableBot a < b"});
    let posted: Value = app.http.post(url("/page/post")).json(&typed).send().await?.json().await?;
    let messages = app.sim.messages("T0ACME", "general");
    assert_eq!(messages[0].text, "<@U0BOT0ACME> a &lt; b");
    assert_eq!(posted["ts"], messages[0].ts);
    let first = tokio::time::timeout(RECEIVE_TIMEOUT, changes.bytes_stream().next()).await?;
    let event = String::from_utf8(first.transpose()?.unwrap_or_default().to_vec())?;
    assert!(event.contains(&messages[0].ts), "{event}");
    let team: Value = app.http.get(url("/page/team")).send().await?.json().await?;
    assert_eq!(team["bot"]["user"], "U0BOT0ACME");
    let shown: Value =
        app.http.get(url("/page/messages?team=T0ACME&channel=C0GENERAL")).send().await?.json().await?;
    assert_eq!(shown["messages"][0]["ts"], posted["ts"]);
    Ok(())
}

#[tokio::test]
async fn page_actions_reach_app() -> anyhow::Result<()> {
    let forms = FormApp::start().await?;
    let (app, place) = (&forms.app, json!({"team": "T0ACME", "channel": "D0ADA", "user": "U0ADA"}));
    let act = async |path: &str, more: Value| {
        let mut body = place.clone();
        if let Some((body, more)) = body.as_object_mut().zip(more.as_object()) {
            body.extend(more.clone());
        }
        let answer = app.http.post(format!("{}/page/{path}", app.sim.base_url())).json(&body).send().await?;
        anyhow::Ok((answer.status().as_u16(), answer.text().await?))
    };
    let text = json!({"type": "plain_text", "text": "Try again"});
    let button = json!({"type": "button", "action_id": "retry", "text": text, "value": "e1"});
    let blocks = json!([{"type": "actions", "elements": [button]}]);
    let args = json!({"channel": "D0ADA", "text": "x", "blocks": blocks});
    let ts = app.call("chat.postMessage", args).await?["ts"].clone();
    assert_eq!(act("click", json!({"ts": ts, "action_id": "retry", "value": "e1"})).await?.0, 204);
    assert_eq!(forms.last_form().payload()?["actions"][0]["value"], "e1");
    let (status, why) = act("click", json!({"ts": ts, "action_id": "other"})).await?;
    assert_eq!((status, why.as_str()), (502, "nothing to click on."));
    assert_eq!(act("command", json!({"command": "/enablebot", "text": "help"})).await?.0, 204);
    assert_eq!(forms.last_form().field("text"), "help");
    forms.respond_with(500, "text/plain", "");
    let (_, why) = act("command", json!({"command": "/enablebot"})).await?;
    assert_eq!(why, "EnableBot answered with an error (500).");
    app.call("views.publish", json!({"user_id": "U0ADA", "view": {"type": "home", "blocks": blocks}}))
        .await?;
    let prompts = json!([{"title": "Plan", "message": "Plan my day"}]);
    app.call("assistant.threads.setSuggestedPrompts", json!({"channel_id": "D0ADA", "prompts": prompts}))
        .await?;
    let url = format!("{}/page/messages?team=T0ACME&channel=D0ADA&user=U0ADA", app.sim.base_url());
    let shown: Value = app.http.get(url).send().await?.json().await?;
    assert_eq!(shown["home"]["blocks"][0]["type"], "actions");
    assert_eq!(shown["sessions"][""]["prompts"], prompts);
    assert_eq!(act("open", json!({"tab": "home", "from": "C0GENERAL"})).await?.0, 204);
    for kind in ["app_home_opened", "app_context_changed"] {
        let told =
            |slack: &FakeSlack| slack.deliveries().iter().any(|event| event.event_type == kind).then_some(());
        app.sim.wait_for(told, RECEIVE_TIMEOUT).await?;
    }
    Ok(())
}

#[tokio::test]
async fn attached_file_is_shown() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let url = |path: &str| format!("{}{path}", app.sim.base_url());
    let file = json!({"name": "notes.txt", "mimetype": "text/plain", "content": "aGVsbG8="});
    let typed = json!({"team": "T0ACME", "channel": "D0ADA", "user": "U0ADA", "text": "", "files": [file]});
    app.http.post(url("/page/post")).json(&typed).send().await?.error_for_status()?;
    let message = app.sim.messages("T0ACME", "D0ADA").remove(0);
    assert_eq!((message.files[0].name.as_str(), &message.files[0].content[..]), ("notes.txt", &b"hello"[..]));
    let place =
        [("team", "T0ACME"), ("channel", "D0ADA"), ("ts", &message.ts), ("file", &message.files[0].id)];
    let shown = app.http.get(url("/page/file")).query(&place).send().await?;
    assert_eq!(shown.headers()["content-type"], "text/plain");
    assert_eq!(shown.text().await?, "hello");
    assert_eq!(app.received(1).await?[0].envelope["event"]["subtype"], "file_share");
    let broken = json!({"name": "x", "mimetype": "", "content": "%"});
    let typed = json!({"team": "T0ACME", "channel": "D0ADA", "user": "U0ADA", "files": [broken]});
    assert_eq!(app.http.post(url("/page/post")).json(&typed).send().await?.status(), 400);
    Ok(())
}

#[tokio::test]
async fn page_assets_are_served() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    for (path, kind) in
        [("/", "text/html"), ("/assets/app.js", "text/javascript"), ("/assets/base.css", "text/css")]
    {
        let answer = app.http.get(format!("{}{path}", app.sim.base_url())).send().await?;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-type"].to_str()?.starts_with(kind), "{path}");
    }
    let missing = app.http.get(format!("{}/assets/../Cargo.toml", app.sim.base_url())).send().await?;
    assert_eq!(missing.status(), 404);
    Ok(())
}
