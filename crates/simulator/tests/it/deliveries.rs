//! Event deliveries and retries.

use std::time::Duration;

use serde_json::json;
use simulator::PostMessage;

use crate::fake_app::FakeApp;

#[tokio::test]
async fn mention_delivers_two_events() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let ts = app.post_as_ada("#general", "<@U0BOT0ACME> hello")?;
    let events = app.received(2).await?;
    let mut kinds: Vec<_> = events.iter().map(|event| event.envelope["event"]["type"].clone()).collect();
    kinds.sort_by_key(|kind| kind.to_string());
    assert_eq!(kinds, ["app_mention", "message"]);
    assert_ne!(events[0].envelope["event_id"], events[1].envelope["event_id"]);
    for event in events {
        let envelope = event.envelope;
        assert_eq!(envelope["event"]["ts"], ts);
        assert_eq!(envelope["event"]["channel"], "C0GENERAL");
        assert!(envelope["event"]["client_msg_id"].is_string());
        assert_eq!(
            envelope["authorizations"],
            json!([{"enterprise_id": null, "team_id": "T0ACME", "user_id": "U0BOT0ACME",
                    "is_bot": true, "is_enterprise_install": false}])
        );
    }
    Ok(())
}

#[tokio::test]
async fn dm_delivers_one_event_and_unjoined_none() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.post_as_ada("#random", "<@U0BOT0ACME> are you here?")?;
    let root = app.post_as_ada("D0ADA", "<@U0BOT0ACME> hello")?;
    app.received(1).await?;
    app.sim.post(PostMessage {
        team: "T0ACME".into(),
        channel: "D0ADA".into(),
        user: "U0ADA".into(),
        text: "more".into(),
        thread_ts: Some(root.clone()),
        ..PostMessage::default()
    })?;
    let events = app.received(2).await?;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].envelope["event"]["channel_type"], "im");
    assert_eq!(events[1].envelope["event"]["thread_ts"], root);
    assert_eq!(events[1].envelope["event"]["parent_user_id"], "U0ADA");
    Ok(())
}

#[tokio::test]
async fn message_subtype_is_delivered() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("general", "root")?;
    for (kind, thread_ts) in [("me_message", None), ("thread_broadcast", Some(root))] {
        let subtype = Some(kind.to_owned());
        let (team, channel, user) = ("T0ACME".into(), "general".into(), "U0ADA".into());
        let text = "waves".into();
        app.sim.post(PostMessage {
            team,
            channel,
            user,
            text,
            thread_ts,
            subtype,
            ..PostMessage::default()
        })?;
    }
    let mut kinds: Vec<_> =
        app.received(3).await?.iter().map(|event| event.envelope["event"]["subtype"].to_string()).collect();
    kinds.sort();
    assert_eq!(kinds, ["\"me_message\"", "\"thread_broadcast\"", "null"]);
    Ok(())
}

#[tokio::test]
async fn failed_delivery_is_retried_with_reason() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.answer_with(&[500, 503]);
    app.post_as_ada("D0ADA", "hello")?;
    let tries = app.received(3).await?;
    let nums: Vec<_> = tries.iter().map(|delivery| delivery.retry_num.as_deref()).collect();
    assert_eq!(nums, [None, Some("1"), Some("2")]);
    assert_eq!(tries[1].retry_reason.as_deref(), Some("http_error"));
    assert_eq!(tries[0].envelope["event_id"], tries[2].envelope["event_id"]);
    let statuses: Vec<_> = app.sim.deliveries().iter().map(|delivery| delivery.status).collect();
    assert!(statuses.starts_with(&[Some(503), Some(500)]), "{statuses:?}");
    Ok(())
}

#[tokio::test]
async fn missing_response_is_connection_failure() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let url = app.sim.base_url();
    app.sim.set_events_url("http://127.0.0.1:1/slack/events");
    app.post_as_ada("D0ADA", "hello")?;
    let look =
        |slack: &simulator::FakeSlack| (slack.deliveries().len() == 4).then(|| slack.deliveries().clone());
    let deliveries = app.sim.wait_for(look, crate::fake_app::RECEIVE_TIMEOUT).await?;
    assert!(deliveries.iter().all(|delivery| delivery.status.is_none()), "{url}");
    Ok(())
}

#[tokio::test]
async fn copies_and_raw_bodies_are_delivered() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let message = PostMessage {
        team: "T0ACME".into(),
        channel: "D0GRACE".into(),
        user: "U0GRACE".into(),
        text: "hello".into(),
        thread_ts: None,
        ..PostMessage::default()
    };
    app.sim.post_with_copies(5, message)?;
    let copies = app.received(5).await?;
    assert!(copies.iter().all(|copy| copy.envelope["event_id"] == copies[0].envelope["event_id"]));
    let status =
        app.sim.deliver_raw(json!({"type": "url_verification", "challenge": "c"}).to_string()).await?;
    assert_eq!(status, 200);
    assert_eq!(app.received(6).await?[5].envelope["challenge"], "c");
    Ok(())
}

#[tokio::test]
async fn external_author_is_slack_connect() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_team("T0BETA", "Beta");
    app.sim.post(PostMessage {
        team: "T0ACME".into(),
        channel: "general".into(),
        user: "U0ADABETA".into(),
        text: "hello".into(),
        thread_ts: None,
        ..PostMessage::default()
    })?;
    let envelope = &app.received(1).await?[0].envelope;
    assert_eq!(envelope["team_id"], "T0BETA");
    assert_eq!(envelope["authorizations"][0]["team_id"], "T0ACME");
    assert_eq!(envelope["is_ext_shared_channel"], true);
    assert_eq!(envelope["event"]["user_team"], "T0BETA");
    Ok(())
}

#[tokio::test]
async fn own_message_has_bot_id_and_no_subtype() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let posted =
        app.call("chat.postMessage", json!({"channel": "C0GENERAL", "text": "<@U0BOT0ACME>"})).await?;
    let event = app.received(1).await?.remove(0).envelope["event"].clone();
    assert_eq!(event["bot_id"], "B0BOT0ACME");
    assert!(event.get("subtype").is_none() && event.get("client_msg_id").is_none());
    app.call("chat.update", json!({"channel": "C0GENERAL", "ts": posted["ts"], "text": "new"})).await?;
    let event = app.received(2).await?.remove(1).envelope["event"].clone();
    assert_eq!(event["subtype"], "message_changed");
    assert_eq!(event["message"]["text"], "new");
    assert_eq!(event["previous_message"]["text"], "<@U0BOT0ACME>");
    Ok(())
}

#[tokio::test]
async fn many_events_are_delivered_concurrently() -> anyhow::Result<()> {
    /// Only a deadlock takes longer, also on a busy machine.
    const DEADLOCK_TIMEOUT: Duration = Duration::from_secs(60);
    let app = FakeApp::start_with(|settings| settings.ack_timeout = DEADLOCK_TIMEOUT).await?;
    // Deliveries one after the other would wait for the first answer in vain.
    app.hold_answers_until(100);
    for n in 0..1000 {
        app.post_as_ada("D0ADA", &format!("{n}"))?;
    }
    let look = |slack: &simulator::FakeSlack| (slack.deliveries().len() >= 1000).then_some(());
    app.sim.wait_for(look, DEADLOCK_TIMEOUT).await?;
    assert!(app.sim.deliveries().iter().all(|delivery| delivery.status == Some(200)));
    Ok(())
}
