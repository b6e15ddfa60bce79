//! Faults 1 to 9: delivery and repetition of events.

use std::time::Duration;

use serde_json::json;
use simulator::{NewFile, PostMessage};
use xtask::cluster::free_port;

use super::GENERAL_CHANNEL;
use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

/// Fault 1.
#[tokio::test(flavor = "multi_thread")]
async fn slow_reply_causes_no_redelivery() {
    let app = TestApp::installed().await;
    // Longer than the three seconds that Slack waits.
    app.simulator.set_model_options("ttft=3500&gap=0");
    let ts = app.send_dm(ADA, None, "say: Slowly, but once.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Slowly, but once.");
    for delivery in app.simulator.deliveries() {
        assert_eq!((delivery.retry_num, delivery.status), (0, Some(200)), "{delivery:?}");
    }
    assert_eq!(app.simulator.model_requests().len(), 1);
}

/// Fault 2.
#[tokio::test(flavor = "multi_thread")]
async fn retried_delivery_is_answered() {
    let app = TestApp::installed().await;
    app.simulator.set_events_url(format!("http://127.0.0.1:{}/slack/events", free_port().expect("a port")));
    let ts = app.send_dm(ADA, None, "say: Heard at last.");
    let failed = |world: &simulator::FakeSlack| {
        world.deliveries().iter().any(|delivery| delivery.status.is_none()).then_some(())
    };
    app.simulator.wait_for(failed, TEST_TIMEOUT).await.expect("no replica is reachable");
    app.balance_events();
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Heard at last.");
    let heard = app.simulator.deliveries().into_iter().find(|delivery| {
        delivery.event_type == "message" && delivery.status == Some(200) && delivery.retry_num > 0
    });
    assert!(heard.is_some(), "it came as a retry");
}

/// Fault 3.
#[tokio::test(flavor = "multi_thread")]
async fn acked_event_survives_crash() {
    let mut app = TestApp::installed().await;
    let port = app.settings.ports.api;
    app.simulator.set_model_options("ttft=60000");
    let before = app.simulator.deliveries().len();
    let ts = app.send_dm(ADA, None, "say: Not lost.");
    let acknowledged = |world: &simulator::FakeSlack| {
        let mut new = world.deliveries().iter().skip(before);
        new.any(|delivery| delivery.event_type == "message" && delivery.status == Some(200)).then_some(())
    };
    app.simulator.wait_for(acknowledged, TEST_TIMEOUT).await.expect("a 200");
    app.apis[0].kill().expect("it is killed");
    app.apis.clear();
    app.simulator.set_model_options("ttft=0&gap=0");
    app.add_api(port, &[]);
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Not lost.");
}

/// Fault 4.
#[tokio::test(flavor = "multi_thread")]
async fn duplicate_burst_after_outage_gets_one_reply() {
    const DUPLICATE_DELIVERIES: usize = 8;
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.set_events_url(format!("http://127.0.0.1:{}/slack/events", free_port().expect("a port")));
    let message = app.new_message(ADA, &dm, None, "say: Once.");
    let ts = app.simulator.post_with_copies(DUPLICATE_DELIVERIES, message).expect("Slack takes it");
    let failed = |world: &simulator::FakeSlack| {
        let failed = world.deliveries().iter().filter(|delivery| delivery.status.is_none());
        (failed.count() >= DUPLICATE_DELIVERIES).then_some(())
    };
    app.simulator.wait_for(failed, TEST_TIMEOUT).await.expect("no replica is reachable");
    app.balance_events();
    app.wait_delivered("message", DUPLICATE_DELIVERIES).await;
    assert_eq!(app.wait_reply(&dm, &ts).await, "Once.");
    assert_eq!(app.simulator.model_requests().len(), 1, "the model is paid once");
    let duplicates = app.metric_value(r#"enablebot_events_total{outcome="duplicate"}"#).await;
    assert!(duplicates >= (DUPLICATE_DELIVERIES - 1) as f64, "{duplicates} duplicates");
}

/// Fault 5.
#[tokio::test(flavor = "multi_thread")]
async fn mention_events_in_any_order_get_one_reply() {
    let app = TestApp::installed().await;
    let root = app.post(ADA, "general", None, "@bot say: One.");
    app.wait_replies("general", &root, 1).await;
    // In a thread that the bot is part of, either of the two events would be enough.
    let inside = app.post(GRACE, "general", Some(&root), "@bot say: Two.");
    app.wait_replies("general", &root, 2).await;
    app.wait_delivered("app_mention", 2).await;
    // The second copy arrives long after the reply.
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    for (kind, user, ts) in [("app_mention", ADA, &root), ("message", GRACE, &inside)] {
        let text = format!("<@{bot}> say: Again.");
        let thread_ts = (ts != &root).then_some(&root);
        app.simulator.deliver_event(
            TEAM,
            json!({"type": kind, "channel": GENERAL_CHANNEL, "channel_type": "channel", "user": user, "text": text,
                   "ts": ts, "thread_ts": thread_ts, "event_ts": ts}),
        );
    }
    app.wait_delivered("app_mention", 3).await;
    let third = app.post(ADA, "general", Some(&root), "say: Three.");
    let texts: Vec<String> = app
        .wait_replies("general", &root, 3)
        .await
        .iter()
        .map(simulator::SlackMessage::visible_text)
        .collect();
    assert_eq!(texts, ["One.", "Two.", "Three."], "{third}");
}

/// Fault 6.
#[tokio::test(flavor = "multi_thread")]
async fn ignored_copy_does_not_shadow_mention() {
    let app = TestApp::installed().await;
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    let mention = |ts: &str, thread_ts: Option<&str>, text: &str| {
        let text = format!("<@{bot}> {text}");
        json!({"type": "app_mention", "channel": GENERAL_CHANNEL, "user": ADA, "text": text, "ts": ts,
               "thread_ts": thread_ts, "event_ts": ts})
    };
    // As a `message` event it does not concern the bot; its other copy is a mention.
    let root = app.post(ADA, "general", None, "Heard.");
    let inside = app.post(ADA, "general", Some(&root), "Heard too.");
    app.wait_delivered("message", 2).await;
    app.wait_idle().await;
    assert!(app.bot_messages("general", &root).is_empty());
    app.simulator.deliver_event(TEAM, mention(&root, None, "say: Heard."));
    app.wait_replies("general", &root, 1).await;
    app.simulator.deliver_event(TEAM, mention(&inside, Some(&root), "say: Heard too."));
    let replies = app.wait_replies("general", &root, 2).await;
    assert_eq!([replies[0].visible_text(), replies[1].visible_text()], ["Heard.", "Heard too."]);
}

/// Fault 7.
#[tokio::test(flavor = "multi_thread")]
async fn file_share_mention_is_answered() {
    let app = TestApp::installed().await;
    let content = "The word is heron.".into();
    let file = NewFile { name: "notes.txt".into(), content, ..NewFile::default() };
    let message = app.new_message(ADA, "general", None, "@bot what is the word?");
    let ts = app.simulator.post(PostMessage { files: vec![file], ..message }).expect("Slack takes it");
    app.wait_reply("general", &ts).await;
    let kinds = app.simulator.deliveries().into_iter().map(|delivery| delivery.event_type);
    assert!(kinds.into_iter().all(|kind| kind != "app_mention"));
    let asked = app.simulator.model_requests().pop().expect("a request").to_string();
    assert!(asked.contains("The word is heron."), "{asked}");
}

/// Fault 8.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_events_get_200() {
    let app = TestApp::installed().await;
    let events = [
        json!({"type": "reaction_added", "user": ADA, "reaction": "eyes", "item": {"type": "message"}}),
        json!({"type": "channel_rename", "channel": {"id": GENERAL_CHANNEL, "name": "x", "created": 1}}),
        json!({"type": "message", "subtype": "something_new", "channel": GENERAL_CHANNEL, "ts": "1.2"}),
        json!({"type": "message", "channel": 7, "user": ["U"], "text": {}}),
        json!({"type": "something_of_next_year", "user": null}),
    ];
    let before = app.simulator.deliveries().len();
    let count = events.len();
    events.into_iter().for_each(|event| app.simulator.deliver_event(TEAM, event));
    let all = |world: &simulator::FakeSlack| (world.deliveries().len() >= before + count).then_some(());
    app.simulator.wait_for(all, TEST_TIMEOUT).await.expect("all are delivered");
    for delivery in app.simulator.deliveries() {
        assert_eq!((delivery.retry_num, delivery.status), (0, Some(200)), "{delivery:?}");
    }
    let unsupported = app.metric_value(r#"enablebot_events_total{outcome="unsupported"}"#).await;
    assert_eq!(unsupported, count as f64);
    let begun = std::time::Instant::now();
    while app.database.query("select count(*) from ignored_events where outcome = 'unsupported'") == "0" {
        assert!(begun.elapsed() < TEST_TIMEOUT, "why there was no reply can be looked up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fault 9.
#[tokio::test(flavor = "multi_thread")]
async fn event_without_installation_is_counted() {
    let app = TestApp::start().await;
    // Slack knows an installation that the service never received.
    app.simulator.install(TEAM, &slack::BOT_SCOPES).expect("installed");
    let not_installed = r#"enablebot_events_total{outcome="not_installed"}"#;
    assert_eq!(app.metric_value(not_installed).await, 0.0);
    app.send_dm(ADA, None, "Anybody there?");
    app.wait_delivered("message", 1).await;
    let deliveries = app.simulator.deliveries();
    assert!(deliveries.iter().all(|delivery| delivery.retry_num == 0), "{deliveries:?}");
    assert_eq!(app.metric_value(not_installed).await, 1.0);
    assert_eq!(app.database.query("select count(*) from events"), "0");
    assert!(app.simulator.calls().is_empty(), "{:?}", app.simulator.calls());
}
