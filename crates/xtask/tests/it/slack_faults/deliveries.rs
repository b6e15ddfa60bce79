//! Rows 1 to 9: how events come, and how often.

use std::time::Duration;

use serde_json::json;
use simulator::{NewFile, PostMessage};
use xtask::cluster::free_port;

use super::CHANNEL;
use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn fault_01_a_slow_handler_is_no_reason_to_deliver_again() {
    let app = TestApp::installed().await;
    // Longer than the three seconds that Slack waits.
    app.simulator.set_model_behaviour("ttft=3500&gap=0");
    let ts = app.say(ADA, None, "say: Slowly, but once.");
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Slowly, but once.");
    for delivery in app.simulator.deliveries() {
        assert_eq!((delivery.retry_num, delivery.status), (0, Some(200)), "{delivery:?}");
    }
    assert_eq!(app.simulator.model_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_02_a_retry_whose_first_try_never_arrived_is_answered() {
    let app = TestApp::installed().await;
    app.simulator.set_events_url(format!("http://127.0.0.1:{}/slack/events", free_port().expect("a port")));
    let ts = app.say(ADA, None, "say: Heard at last.");
    let failed = |world: &simulator::World| {
        world.deliveries().iter().any(|delivery| delivery.status.is_none()).then_some(())
    };
    app.simulator.wait_for(failed, PATIENCE).await.expect("nobody is there");
    app.balance();
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Heard at last.");
    let heard = app.simulator.deliveries().into_iter().find(|delivery| {
        delivery.event_type == "message" && delivery.status == Some(200) && delivery.retry_num > 0
    });
    assert!(heard.is_some(), "it came as a retry");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_what_was_acknowledged_outlives_a_crash_right_after() {
    let mut app = TestApp::installed().await;
    let port = app.settings.ports.api;
    app.simulator.set_model_behaviour("ttft=60000");
    let before = app.simulator.deliveries().len();
    let ts = app.say(ADA, None, "say: Not lost.");
    let acknowledged = |world: &simulator::World| {
        let mut new = world.deliveries().iter().skip(before);
        new.any(|delivery| delivery.event_type == "message" && delivery.status == Some(200)).then_some(())
    };
    app.simulator.wait_for(acknowledged, PATIENCE).await.expect("a 200");
    app.apis[0].kill().expect("it is killed");
    app.apis.clear();
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.add_api(port, &[]);
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Not lost.");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_04_a_burst_of_one_event_after_a_downtime_gets_one_reply() {
    const COPIES: usize = 8;
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.set_events_url(format!("http://127.0.0.1:{}/slack/events", free_port().expect("a port")));
    let message = app.message(ADA, &dm, None, "say: Once.");
    let ts = app.simulator.deliver_times(COPIES, message).expect("Slack takes it");
    let failed = |world: &simulator::World| {
        let failed = world.deliveries().iter().filter(|delivery| delivery.status.is_none());
        (failed.count() >= COPIES).then_some(())
    };
    app.simulator.wait_for(failed, PATIENCE).await.expect("nobody is there");
    app.balance();
    app.delivered("message", COPIES).await;
    assert_eq!(app.reply(&dm, &ts).await, "Once.");
    assert_eq!(app.simulator.model_requests().len(), 1, "the model is paid once");
    let duplicates = app.metric(r#"enablebot_events_total{outcome="duplicate"}"#).await;
    assert!(duplicates >= (COPIES - 1) as f64, "{duplicates} duplicates");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_05_a_mention_comes_as_two_events_in_any_order_and_is_answered_once() {
    let app = TestApp::installed().await;
    let root = app.post(ADA, "general", None, "@bot say: One.");
    app.replies("general", &root, 1).await;
    // In a thread that the bot is engaged in, each of the two would do alone.
    let inside = app.post(GRACE, "general", Some(&root), "@bot say: Two.");
    app.replies("general", &root, 2).await;
    app.delivered("app_mention", 2).await;
    // The other copy, long after the answer.
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    for (kind, user, ts) in [("app_mention", ADA, &root), ("message", GRACE, &inside)] {
        let text = format!("<@{bot}> say: Again.");
        let thread_ts = (ts != &root).then_some(&root);
        app.simulator.deliver(
            TEAM,
            json!({"type": kind, "channel": CHANNEL, "channel_type": "channel", "user": user, "text": text,
                   "ts": ts, "thread_ts": thread_ts, "event_ts": ts}),
        );
    }
    app.delivered("app_mention", 3).await;
    let third = app.post(ADA, "general", Some(&root), "say: Three.");
    let texts: Vec<String> =
        app.replies("general", &root, 3).await.iter().map(simulator::Message::shown).collect();
    assert_eq!(texts, ["One.", "Two.", "Three."], "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_06_a_copy_of_no_interest_does_not_take_the_mentions_place() {
    let app = TestApp::installed().await;
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    let mention = |ts: &str, thread_ts: Option<&str>, text: &str| {
        let text = format!("<@{bot}> {text}");
        json!({"type": "app_mention", "channel": CHANNEL, "user": ADA, "text": text, "ts": ts,
               "thread_ts": thread_ts, "event_ts": ts})
    };
    // As a `message` nothing in it concerns the bot; its other copy mentions it.
    let root = app.post(ADA, "general", None, "Heard.");
    let inside = app.post(ADA, "general", Some(&root), "Heard too.");
    app.delivered("message", 2).await;
    app.idle().await;
    assert!(app.bots("general", &root).is_empty());
    app.simulator.deliver(TEAM, mention(&root, None, "say: Heard."));
    app.replies("general", &root, 1).await;
    app.simulator.deliver(TEAM, mention(&inside, Some(&root), "say: Heard too."));
    let replies = app.replies("general", &root, 2).await;
    assert_eq!([replies[0].shown(), replies[1].shown()], ["Heard.", "Heard too."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_07_a_mention_with_a_file_comes_only_as_a_file_share_and_is_answered() {
    let app = TestApp::installed().await;
    let content = "The word is heron.".into();
    let file = NewFile { name: "notes.txt".into(), content, ..NewFile::default() };
    let message = app.message(ADA, "general", None, "@bot what is the word?");
    let ts = app.simulator.post(PostMessage { files: vec![file], ..message }).expect("Slack takes it");
    app.reply("general", &ts).await;
    let kinds = app.simulator.deliveries().into_iter().map(|delivery| delivery.event_type);
    assert!(kinds.into_iter().all(|kind| kind != "app_mention"));
    let asked = app.simulator.model_requests().pop().expect("a request").to_string();
    assert!(asked.contains("The word is heron."), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_08_every_verified_event_gets_200_whatever_it_is() {
    let app = TestApp::installed().await;
    let events = [
        json!({"type": "reaction_added", "user": ADA, "reaction": "eyes", "item": {"type": "message"}}),
        json!({"type": "channel_rename", "channel": {"id": CHANNEL, "name": "x", "created": 1}}),
        json!({"type": "message", "subtype": "something_new", "channel": CHANNEL, "ts": "1.2"}),
        json!({"type": "message", "channel": 7, "user": ["U"], "text": {}}),
        json!({"type": "something_of_next_year", "user": null}),
    ];
    let before = app.simulator.deliveries().len();
    let count = events.len();
    events.into_iter().for_each(|event| app.simulator.deliver(TEAM, event));
    let all = |world: &simulator::World| (world.deliveries().len() >= before + count).then_some(());
    app.simulator.wait_for(all, PATIENCE).await.expect("all are delivered");
    for delivery in app.simulator.deliveries() {
        assert_eq!((delivery.retry_num, delivery.status), (0, Some(200)), "{delivery:?}");
    }
    let unsupported = app.metric(r#"enablebot_events_total{outcome="unsupported"}"#).await;
    assert_eq!(unsupported, count as f64);
    let begun = std::time::Instant::now();
    while app.database.ask("select count(*) from ignored_events where outcome = 'unsupported'") == "0" {
        assert!(begun.elapsed() < PATIENCE, "why there was no reply can be looked up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_09_an_event_of_a_workspace_without_an_installation_gets_200_and_is_counted() {
    let app = TestApp::start().await;
    // Slack knows of an install that never reached us.
    app.simulator.install(TEAM, &slack::BOT_SCOPES).expect("installed");
    let not_installed = r#"enablebot_events_total{outcome="not_installed"}"#;
    assert_eq!(app.metric(not_installed).await, 0.0);
    app.say(ADA, None, "Anybody there?");
    app.delivered("message", 1).await;
    let deliveries = app.simulator.deliveries();
    assert!(deliveries.iter().all(|delivery| delivery.retry_num == 0), "{deliveries:?}");
    assert_eq!(app.metric(not_installed).await, 1.0);
    assert_eq!(app.database.ask("select count(*) from events"), "0");
    assert!(app.simulator.calls().is_empty(), "{:?}", app.simulator.calls());
}
