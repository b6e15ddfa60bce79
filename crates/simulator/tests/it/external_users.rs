//! Messages of external people and other bots.

use serde_json::{Value, json};
use simulator::{OtherBot, PostMessage};

use crate::fake_app::FakeApp;

fn external_message(text: &str) -> PostMessage {
    PostMessage {
        team: "T0ACME".into(),
        channel: "general".into(),
        user: "U0ADABETA".into(),
        text: text.into(),
        ..PostMessage::default()
    }
}

/// Returns the deliveries' event types and events, sorted by type.
async fn received_events(app: &FakeApp, count: usize) -> anyhow::Result<Vec<(String, Value)>> {
    let received = app.received(count).await?.into_iter().map(|received| received.envelope["event"].clone());
    let mut events: Vec<_> =
        received.map(|event| (event["type"].as_str().unwrap_or_default().to_owned(), event)).collect();
    events.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(events)
}

#[tokio::test]
async fn shared_channel_event_has_author_team() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_team("T0BETA", "Beta");
    app.sim.share_channel("T0ACME", "#general", "T0BETA")?;
    assert!(app.sim.share_channel("T0ACME", "general", "T404").is_err());
    app.sim.post(external_message("<@U0BOT0ACME> hello"))?;
    for received in app.received(2).await? {
        let envelope = received.envelope;
        assert_eq!(
            (&envelope["team_id"], &envelope["context_team_id"]),
            (&json!("T0BETA"), &json!("T0ACME"))
        );
        assert_eq!(envelope["authorizations"][0]["team_id"], "T0ACME");
        assert_eq!(envelope["is_ext_shared_channel"], true);
        for key in ["team", "user_team", "source_team"] {
            assert_eq!(envelope["event"][key], "T0BETA", "{key}");
        }
    }
    app.post_as_ada("general", "we")?;
    let own = app.received(3).await?.remove(2).envelope;
    assert_eq!((&own["team_id"], &own["is_ext_shared_channel"]), (&json!("T0ACME"), &json!(true)));
    assert_eq!(own["event"].get("user_team"), None);
    Ok(())
}

#[tokio::test]
async fn duplicate_message_shares_client_msg_id() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.add_team("T0BETA", "Beta");
    let (first, second) = app.sim.post_duplicate_message(external_message("hello"))?;
    assert_ne!(first, second);
    let received = app.received(2).await?;
    let [one, other] = [&received[0].envelope, &received[1].envelope];
    assert_ne!(one["event_id"], other["event_id"]);
    assert_ne!(one["event"]["ts"], other["event"]["ts"]);
    assert_eq!(one["event"]["client_msg_id"], other["event"]["client_msg_id"]);
    Ok(())
}

#[tokio::test]
async fn other_app_mention_has_own_ids() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    app.sim.post_as_other_app("T0ACME", "general", None, "<@U0BOT0ACME> hello")?;
    let events = received_events(&app, 2).await?;
    assert_eq!((events[0].0.as_str(), events[1].0.as_str()), ("app_mention", "message"));
    for (_, event) in events {
        assert_eq!((&event["bot_id"], &event["app_id"]), (&json!("B0OTHER0ACME"), &json!("A0OTHER")));
        assert!(event.get("subtype").is_none() && event.get("client_msg_id").is_none());
    }
    Ok(())
}

#[tokio::test]
async fn other_bot_kinds_have_own_shapes() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let root = app.post_as_ada("general", "root")?;
    let say = |bot| app.sim.post_as_other_bot("T0ACME", "general", Some(&root), "<@U0BOT0ACME>", bot);
    say(OtherBot::LegacyIntegration)?;
    let event = app.received(2).await?.remove(1).envelope["event"].clone();
    assert_eq!((&event["subtype"], event.get("user")), (&json!("bot_message"), None));
    assert_eq!(event["bot_id"], "B0OTHER0ACME");
    say(OtherBot::BotUser)?;
    let event = app.received(4).await?.remove(3).envelope["event"].clone();
    assert_eq!((event.get("bot_id"), &event["thread_ts"]), (None, &json!(root)));
    let user = event["user"].as_str().unwrap_or_default();
    assert_eq!(app.read("users.info", &[("user", user)]).await?["user"]["is_bot"], true);
    Ok(())
}

#[tokio::test]
async fn edit_sends_event_and_may_mention() -> anyhow::Result<()> {
    let app = FakeApp::start().await?;
    let ts = app.post_as_ada("general", "hello")?;
    app.sim.edit("T0ACME", "general", &ts, "hello!")?;
    let changed = app.received(2).await?.remove(1).envelope["event"].clone();
    assert_eq!(changed["subtype"], "message_changed");
    assert_eq!(changed["message"]["text"], "hello!");
    assert_eq!(changed["message"]["edited"]["user"], "U0ADA");
    app.sim.edit("T0ACME", "general", &ts, "hello <@U0BOT0ACME>")?;
    let events = received_events(&app, 4).await?;
    assert_eq!((events[0].0.as_str(), &events[0].1["ts"]), ("app_mention", &json!(ts)));
    assert!(events[0].1["edited"].is_object());
    app.sim.delete("T0ACME", "general", &ts)?;
    let deleted = app.received(5).await?.remove(4).envelope["event"].clone();
    assert_eq!((&deleted["subtype"], &deleted["deleted_ts"]), (&json!("message_deleted"), &json!(ts)));
    assert!(app.sim.edit("T0ACME", "general", &ts, "x").is_err());
    Ok(())
}
