//! The app's conversation: opening, context changes, titles, prompts and the stop button.

use anyhow::Context;
use serde_json::{Value, json};

use crate::fake_app::FakeApp;

async fn received_event(app: &FakeApp, count: usize) -> anyhow::Result<Value> {
    let mut events = app.received(count).await?;
    Ok(events.remove(count - 1).envelope["event"].clone())
}

#[tokio::test]
async fn tab_open_and_channel_view_send_events() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.open_app_tab("T0ACME", "U0ADA", "messages");
    let opened = received_event(&app, 1).await?;
    assert_eq!((&opened["type"], &opened["tab"]), (&json!("app_home_opened"), &json!("messages")));
    assert_eq!((&opened["channel"], &opened["user"]), (&json!("D0ADA"), &json!("U0ADA")));
    assert!(opened["event_ts"].is_string() && opened.get("view").is_none());
    app.sim.view_channel("T0ACME", "U0ADA", Some("general"));
    let entity = json!({"type": "slack#/types/channel_id", "value": "C0GENERAL", "team_id": "T0ACME"});
    let looked = received_event(&app, 2).await?;
    assert_eq!(
        (&looked["type"], &looked["context"]),
        (&json!("app_context_changed"), &json!({"entities": [entity]}))
    );
    app.sim.view_channel("T0ACME", "U0ADA", None);
    assert_eq!(received_event(&app, 3).await?["context"], json!({}));
    Ok(())
}

#[tokio::test]
async fn stop_ends_streams_but_not_session() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let place =
        json!({"channel_id": "D0ADA", "thread_ts": root, "status": "processing", "title": "Greeting"});
    let state = app.call("agents.sessions.setStatus", place).await?;
    assert_eq!((&state["status"], &state["title"]), (&json!("processing"), &json!("Greeting")));
    let started = app.call("chat.startStream", json!({"channel": "D0ADA", "thread_ts": root})).await?;
    let more = json!({"channel": "D0ADA", "ts": started["ts"], "markdown_text": "x"});
    assert_eq!(app.call("chat.appendStream", more.clone()).await?["ok"], true);
    app.sim.stop_session("T0ACME", "U0ADA", "D0ADA", &root);
    let events = app.received(3).await?;
    let mut told = events.iter().map(|event| &event.envelope["event"]);
    let stopped = told.find(|event| event["type"] == "agent_session_stopped").context("the app is told")?;
    assert_eq!(stopped["streaming_message_ts"], json!([started["ts"]]));
    assert_eq!((&stopped["thread_ts"], &stopped["user"]), (&json!(root), &json!("U0ADA")));
    assert_eq!(app.call_error("chat.appendStream", more.clone()).await?, "stopped_by_user");
    assert_eq!(app.sim.status("T0ACME", "D0ADA", &root).as_deref(), Some("processing"));
    assert_eq!(app.call("chat.stopStream", more).await?["ok"], true);
    assert_eq!(app.sim.status("T0ACME", "D0ADA", &root), None);
    let message = app.sim.thread("T0ACME", "D0ADA", &root).pop().context("the message")?;
    assert_eq!((message.text.as_str(), message.is_streaming, message.is_stopped), ("xx", false, false));
    Ok(())
}

#[tokio::test]
async fn session_title_set_once_then_renamed() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let with = |more: Value| {
        let mut args = json!({"channel_id": "D0ADA", "thread_ts": root});
        if let Some((args, more)) = args.as_object_mut().zip(more.as_object()) {
            args.extend(more.clone());
        }
        args
    };
    let title = || app.sim.title("T0ACME", "D0ADA", &root);
    assert_eq!(
        app.call_error("agents.sessions.rename", with(json!({"title": "x"}))).await?,
        "session_not_found"
    );
    for name in ["First", "Second"] {
        app.call("agents.sessions.setStatus", with(json!({"status": "active", "title": name}))).await?;
        assert_eq!(title().as_deref(), Some("First"));
    }
    app.call("agents.sessions.rename", with(json!({"title": "Third"}))).await?;
    assert_eq!(title().as_deref(), Some("Third"));
    for (args, error) in [
        (with(json!({"title": ""})), "invalid_arguments"),
        (with(json!({"title": "x".repeat(201)})), "invalid_arguments"),
        (json!({"channel_id": "D0ADA", "title": "x"}), "thread_ts_required"),
    ] {
        assert_eq!(app.call_error("agents.sessions.rename", args).await?, error);
    }
    assert_eq!(app.call("assistant.threads.setTitle", with(json!({"title": "Bridged"}))).await?["ok"], true);
    assert_eq!(title().as_deref(), Some("Bridged"));
    Ok(())
}

#[tokio::test]
async fn agent_prompts_are_per_conversation() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let prompt = json!({"title": "Plan", "message": "Plan my day"});
    let set = async |args: Value| app.call("assistant.threads.setSuggestedPrompts", args).await;
    // With a thread the call succeeds without effect.
    let args = json!({"channel_id": "D0ADA", "thread_ts": root, "prompts": [prompt]});
    assert_eq!(set(args).await?["ok"], true);
    assert!(app.sim.prompts("T0ACME", "D0ADA", Some(&root)).is_empty());
    assert_eq!(set(json!({"channel_id": "D0ADA", "prompts": [prompt]})).await?["ok"], true);
    let known = app.sim.prompts("T0ACME", "D0ADA", None);
    assert_eq!(known, [("Plan".to_owned(), "Plan my day".to_owned())]);
    let five = json!({"channel_id": "D0ADA", "prompts": vec![prompt; 5]});
    assert_eq!(set(five).await?["error"], "invalid_arguments");
    Ok(())
}

#[tokio::test]
async fn legacy_assistant_has_no_sessions() -> anyhow::Result<()> {
    let app = FakeApp::start_with(|settings| settings.has_agent_sessions = false).await?;
    app.sim.view_channel("T0ACME", "U0ADA", Some("random"));
    app.sim.open_app_tab("T0ACME", "U0ADA", "messages");
    let started = received_event(&app, 1).await?;
    assert_eq!(started["type"], "assistant_thread_started");
    let thread = &started["assistant_thread"];
    assert_eq!((&thread["user_id"], &thread["channel_id"]), (&json!("U0ADA"), &json!("D0ADA")));
    let context = json!({"channel_id": "C0RANDOM", "team_id": "T0ACME", "enterprise_id": null});
    assert_eq!(thread["context"], context);
    let root = &thread["thread_ts"];
    app.sim.view_channel("T0ACME", "U0ADA", None);
    let changed = received_event(&app, 2).await?;
    assert_eq!(changed["type"], "assistant_thread_context_changed");
    assert_eq!(
        (&changed["assistant_thread"]["thread_ts"], &changed["assistant_thread"]["context"]),
        (root, &json!({}))
    );
    let place = json!({"channel_id": "D0ADA", "thread_ts": root, "status": "processing", "title": "Day"});
    for method in ["agents.sessions.setStatus", "agents.sessions.rename"] {
        assert_eq!(app.call_error(method, place.clone()).await?, "feature_disabled");
    }
    assert_eq!(app.call("assistant.threads.setTitle", place.clone()).await?["ok"], true);
    let titled = received_event(&app, 3).await?;
    assert_eq!(titled["subtype"], "message_changed");
    assert_eq!(titled["message"]["subtype"], "assistant_app_thread");
    let prompts = json!([{"title": "Plan", "message": "Plan my day"}]);
    let args = json!({"channel_id": "D0ADA", "prompts": prompts});
    assert_eq!(app.call_error("assistant.threads.setSuggestedPrompts", args).await?, "invalid_arguments");
    let args = json!({"channel_id": "D0ADA", "thread_ts": root, "prompts": prompts});
    app.call("assistant.threads.setSuggestedPrompts", args).await?;
    assert_eq!(app.sim.prompts("T0ACME", "D0ADA", root.as_str()).len(), 1);
    app.sim.open_app_tab("T0ACME", "U0ADA", "home");
    assert_eq!(received_event(&app, 4).await?["tab"], "home");
    Ok(())
}
