//! `chat.*`: accepted and rejected calls.

use serde_json::json;

use crate::fake_app::FakeApp;

#[tokio::test]
async fn reply_joins_thread_and_clears_status() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let place = json!({"channel_id": "D0ADA", "thread_ts": root, "status": "is thinking…"});
    assert_eq!(app.call("assistant.threads.setStatus", place).await?["ok"], true);
    assert_eq!(app.sim.status("T0ACME", "D0ADA", &root).as_deref(), Some("is thinking…"));
    let metadata = json!({"event_type": "reply", "event_payload": {"n": 1}});
    let args =
        json!({"channel": "U0ADA", "thread_ts": root, "markdown_text": "**hi**", "metadata": metadata});
    let posted = app.call("chat.postMessage", args).await?;
    assert_eq!(posted["channel"], "D0ADA");
    assert_eq!(app.sim.status("T0ACME", "D0ADA", &root), None);
    let thread = app.sim.thread("T0ACME", "D0ADA", &root);
    assert_eq!(thread.len(), 2);
    assert_eq!(thread[1].text, "**hi**");
    assert_eq!(thread[1].metadata, Some(metadata));
    Ok(())
}

#[tokio::test]
async fn invalid_post_is_refused() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("general", "hello")?;
    let long = "x".repeat(12_001);
    let block = json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(3001)}});
    let divider = json!({"type": "divider"});
    for (args, error) in [
        (json!({"channel": "C0GENERAL"}), "no_text"),
        (json!({"channel": "C0GENERAL", "text": " "}), "no_text"),
        (json!({"text": "x"}), "invalid_arguments"),
        (json!({"channel": "C404", "text": "x"}), "channel_not_found"),
        (json!({"channel": "C0RANDOM", "text": "x"}), "not_in_channel"),
        (json!({"channel": "C0GENERAL", "text": "x", "thread_ts": ""}), "invalid_thread_ts"),
        (json!({"channel": "C0GENERAL", "text": "x", "thread_ts": "1.000001"}), "thread_not_found"),
        (json!({"channel": "C0GENERAL", "markdown_text": long}), "msg_too_long"),
        (json!({"channel": "C0GENERAL", "markdown_text": "x", "text": "x"}), "markdown_text_conflict"),
        (json!({"channel": "C0GENERAL", "text": "x", "blocks": [block]}), "invalid_blocks"),
        (json!({"channel": "C0GENERAL", "text": "x", "blocks": vec![divider; 51]}), "invalid_blocks"),
        (json!({"channel": "C0GENERAL", "text": "x", "metadata": {"x": 1}}), "invalid_metadata_format"),
    ] {
        assert_eq!(app.call_error("chat.postMessage", args.clone()).await?, error, "{args}");
    }
    let mine =
        app.call("chat.postMessage", json!({"channel": "C0GENERAL", "text": "y".repeat(41_000)})).await?;
    assert_eq!(mine["text"].as_str().map(str::len), Some(40_000));
    for (args, error) in [
        (json!({"channel": "C0GENERAL", "ts": root, "text": "x"}), "cant_update_message"),
        (json!({"channel": "C0GENERAL", "ts": "1.000001", "text": "x"}), "message_not_found"),
        (json!({"channel": "C0GENERAL", "ts": mine["ts"], "text": "x".repeat(4001)}), "msg_too_long"),
    ] {
        assert_eq!(app.call_error("chat.update", args.clone()).await?, error, "{args}");
    }
    Ok(())
}

#[tokio::test]
async fn ephemeral_message_is_not_in_history() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let args = json!({"channel": "C0GENERAL", "user": "U0GRACE", "text": "for you"});
    assert_eq!(app.call("chat.postEphemeral", args).await?["ok"], true);
    assert!(app.sim.messages("T0ACME", "general").is_empty());
    let shown = app.sim.ephemerals("T0ACME", "general");
    assert_eq!((shown[0].0.as_str(), shown[0].1.text.as_str()), ("U0GRACE", "for you"));
    let args = json!({"channel": "D0ADA", "user": "U0GRACE", "text": "for you"});
    assert_eq!(app.call_error("chat.postEphemeral", args).await?, "user_not_in_channel");
    Ok(())
}

#[tokio::test]
async fn message_deletes_and_reacts_once() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let theirs = app.post_as_ada("general", "hello")?;
    let reaction = json!({"channel": "C0GENERAL", "timestamp": theirs, "name": "eyes"});
    assert_eq!(app.call("reactions.add", reaction.clone()).await?["ok"], true);
    assert_eq!(app.call_error("reactions.add", reaction).await?, "already_reacted");
    let args = json!({"channel": "C0GENERAL", "ts": theirs});
    assert_eq!(app.call_error("chat.delete", args).await?, "cant_delete_message");
    let mine = app.call("chat.postMessage", json!({"channel": "C0GENERAL", "text": "x"})).await?;
    let args = json!({"channel": "C0GENERAL", "ts": mine["ts"]});
    assert_eq!(app.call("chat.delete", args).await?["ok"], true);
    assert_eq!(app.sim.messages("T0ACME", "general").len(), 1);
    Ok(())
}
