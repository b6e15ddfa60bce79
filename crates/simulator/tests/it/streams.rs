//! Streaming messages.

use std::time::Duration;

use serde_json::json;

use crate::fake_app::{FakeApp, RECEIVE_TIMEOUT};

#[tokio::test]
async fn stream_appends_and_stops() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let state = json!({"channel_id": "D0ADA", "thread_ts": root, "status": "processing"});
    app.call("agents.sessions.setStatus", state).await?;
    assert_eq!(app.sim.status("T0ACME", "D0ADA", &root).as_deref(), Some("processing"));
    let started = app.call("chat.startStream", json!({"channel": "D0ADA", "thread_ts": root})).await?;
    let ts = started["ts"].clone();
    for piece in ["Hel", "lo"] {
        let args = json!({"channel": "D0ADA", "ts": ts, "markdown_text": piece});
        assert_eq!(app.call("chat.appendStream", args).await?["ok"], true);
    }
    let args = json!({"channel": "D0ADA", "ts": ts, "text": "x"});
    assert_eq!(app.call_error("chat.update", args.clone()).await?, "streaming_state_conflict");
    assert!(app.sim.thread("T0ACME", "D0ADA", &root)[1].is_streaming);
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "footer"}}]);
    let end = json!({"channel": "D0ADA", "ts": ts, "markdown_text": "!", "blocks": blocks});
    assert_eq!(app.call("chat.stopStream", end.clone()).await?["message"]["text"], "Hello!");
    assert_eq!(app.call_error("chat.stopStream", end).await?, "message_not_in_streaming_state");
    assert_eq!(app.sim.status("T0ACME", "D0ADA", &root), None);
    assert_eq!(app.call("chat.update", args).await?["ok"], true);
    Ok(())
}

#[tokio::test]
async fn channel_stream_needs_thread_and_recipient() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("general", "<@U0BOT0ACME> hello")?;
    let to = |team: &str, user: &str| json!({"channel": "C0GENERAL", "thread_ts": root, "recipient_team_id": team, "recipient_user_id": user});
    for (args, error) in [
        (to("T0ACME", ""), "missing_recipient_user_id"),
        (to("", "U0ADA"), "missing_recipient_team_id"),
        (to("T404", "U0ADA"), "team_not_found"),
        (json!({"channel": "D0ADA"}), "invalid_arguments"),
        (json!({"channel": "D0ADA", "thread_ts": ""}), "invalid_thread_ts"),
    ] {
        assert_eq!(app.call_error("chat.startStream", args.clone()).await?, error, "{args}");
    }
    assert_eq!(app.call("chat.startStream", to("T0ACME", "U0ADA")).await?["ok"], true);
    let args = json!({"channel": "C0GENERAL", "ts": root, "markdown_text": "x"});
    assert_eq!(app.call_error("chat.appendStream", args).await?, "message_not_owned_by_app");
    Ok(())
}

#[tokio::test]
async fn expired_stream_is_ended() -> anyhow::Result<()> {
    let app = FakeApp::start_with(|settings| settings.stream_lifetime = Duration::from_millis(50)).await?;
    let root = app.post_as_ada("D0ADA", "hello")?;
    let started = app.call("chat.startStream", json!({"channel": "D0ADA", "thread_ts": root})).await?;
    let look = |slack: &simulator::FakeSlack| {
        slack.thread("T0ACME", "D0ADA", &root).get(1).filter(|message| !message.is_streaming).map(drop)
    };
    app.sim.wait_for(look, RECEIVE_TIMEOUT).await?;
    let args = json!({"channel": "D0ADA", "ts": started["ts"], "markdown_text": "x"});
    assert_eq!(app.call_error("chat.appendStream", args).await?, "message_not_in_streaming_state");
    let args = json!({"channel": "D0ADA", "ts": started["ts"], "markdown_text": "x"});
    assert_eq!(app.call("chat.update", args).await?["ok"], true);
    Ok(())
}
