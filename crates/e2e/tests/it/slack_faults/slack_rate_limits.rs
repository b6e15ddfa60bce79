//! Faults 19 and 20: lost responses, and rate limited methods.

use simulator::InjectedFault;

use crate::test_app::{ADA, BETA, BETA_ADA, TEAM, TEST_TIMEOUT, TestApp};

const REPLY_TEXT: &str =
    "Enough words that some of them are appended, and that each of the calls has its part in it.";

/// Fault 19.
#[tokio::test(flavor = "multi_thread")]
async fn lost_post_response_causes_no_duplicate() {
    let app = TestApp::start().await;
    app.simulator.inject_fault("chat.postMessage", InjectedFault::ResponseLost, 1);
    app.install().await;
    let dm = app.dm(ADA);
    assert_eq!(app.simulator.messages(TEAM, &dm).len(), 1, "one welcome");
    app.simulator.set_model_options("ttft=0&gap=0");
    app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), 1);
    app.simulator.inject_fault("chat.postMessage", InjectedFault::ResponseLost, 1);
    let ts = app.send_dm(ADA, None, &format!("say: {REPLY_TEXT}"));
    assert_eq!(app.wait_reply(&dm, &ts).await, REPLY_TEXT);
}

/// Fault 19.
#[tokio::test(flavor = "multi_thread")]
async fn lost_stream_responses_cause_no_duplicate() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.set_model_options("ttft=0&gap=50");
    for method in ["chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update"] {
        app.simulator.inject_fault(method, InjectedFault::ResponseLost, 2);
    }
    let asked: Vec<String> = (0..4).map(|_| app.send_dm(ADA, None, &format!("say: {REPLY_TEXT}"))).collect();
    for ts in asked {
        assert_eq!(app.wait_reply(&dm, &ts).await, REPLY_TEXT);
    }
}

/// Fault 20.
#[tokio::test(flavor = "multi_thread")]
async fn slack_429_backs_off_one_method_of_one_team() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    app.simulator.inject_fault("chat.startStream", InjectedFault::RateLimited { retry_after: 60 }, 1);
    let dm = app.dm(ADA);
    let begun = std::time::Instant::now();
    for text in ["At once.", "And at once again."] {
        let ts = app.send_dm(ADA, None, &format!("say: {text}"));
        assert_eq!(app.wait_reply(&dm, &ts).await, text);
        assert!(!app.bot_messages(&dm, &ts)[0].is_stream, "another method does it meanwhile");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let starts = app.slack_calls("chat.startStream");
    assert_eq!(starts.len(), 1, "Slack was not asked again: {starts:?}");
    // The other workspace's stream begins without delay.
    let dm = app.simulator.dm(BETA, BETA_ADA).expect("a DM");
    let message = app.new_message(BETA_ADA, &dm, None, "say: Streamed.");
    let ts = app.simulator.post(simulator::PostMessage { team: BETA.into(), ..message }).expect("posted");
    let reply = app.wait_reply_in_team(BETA, &dm, &ts).await;
    assert_eq!((reply.visible_text().as_str(), reply.is_stream), ("Streamed.", true));
}

/// Asserts a complete reply in a DM although each of the methods is rate limited once.
async fn assert_answered_despite_429(app: &TestApp, methods: &[&str]) {
    app.simulator.set_model_options("ttft=0&gap=50");
    for method in methods {
        app.simulator.inject_fault(method, InjectedFault::RateLimited { retry_after: 1 }, 1);
    }
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, &format!("say: {REPLY_TEXT}"));
    assert_eq!(app.wait_reply(&dm, &ts).await, REPLY_TEXT);
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

/// Fault 20.
#[tokio::test(flavor = "multi_thread")]
async fn stream_429_loses_nothing() {
    let app = TestApp::installed().await;
    assert_answered_despite_429(&app, &["chat.appendStream", "chat.stopStream", "users.info"]).await;
}

/// Fault 20.
#[tokio::test(flavor = "multi_thread")]
async fn slack_429_without_streams_loses_nothing() {
    let app = TestApp::installed().await;
    app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), 2);
    assert_answered_despite_429(&app, &["chat.postMessage", "chat.update"]).await;
}

/// Fault 20.
#[tokio::test(flavor = "multi_thread")]
async fn replies_above_slack_limits_arrive_once() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let dm = app.dm(ADA);
    // A workspace may start twenty streams a minute, a channel may get one post a second.
    let asked: Vec<String> =
        (0..28).map(|at| app.send_dm(ADA, None, &format!("say: Answer {at}."))).collect();
    for (at, ts) in asked.iter().enumerate() {
        assert_eq!(app.wait_reply(&dm, ts).await, format!("Answer {at}."));
    }
    let settled = |world: &simulator::FakeSlack| {
        asked.iter().all(|ts| world.status(TEAM, &dm, ts).is_none()).then_some(())
    };
    app.simulator.wait_for(settled, TEST_TIMEOUT).await.expect("nothing is left thinking");
}
