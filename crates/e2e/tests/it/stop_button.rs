//! "Stop": a reply stops at once, whichever replica receives the request, and the thread continues.

use std::time::{Duration, Instant};

use simulator::InjectedFault;
use xtask::cluster::free_port;

use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

/// Far less than the model's timeout and than the polling interval.
const STOP_TIMEOUT: Duration = Duration::from_millis(1500);

impl TestApp {
    /// Waits until a part of the reply is shown.
    pub(crate) async fn wait_reply_started(&self, channel: &str, thread_ts: &str) {
        let begun = |world: &simulator::FakeSlack| {
            let thread = world.thread(TEAM, channel, thread_ts);
            thread
                .iter()
                .any(|message| message.bot_id.is_some() && !message.visible_text().is_empty())
                .then_some(())
        };
        self.simulator.wait_for(begun, TEST_TIMEOUT).await.expect("the answer begins");
    }

    /// Waits until the reply is stopped, soon and by itself. Returns its text.
    async fn wait_stopped(&self, channel: &str, thread_ts: &str) -> String {
        let begun = Instant::now();
        let ended = |world: &simulator::FakeSlack| {
            let thread = world.thread(TEAM, channel, thread_ts);
            let mut replies =
                thread.iter().filter(|message| message.bot_id.is_some() && !message.is_streaming);
            replies.next_back().filter(|reply| reply.visible_text().ends_with("_Stopped._")).cloned()
        };
        let reply = self.simulator.wait_for(ended, TEST_TIMEOUT).await;
        let took = begun.elapsed();
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", self.api_logs()));
        self.wait_for_query("select string_agg(outcome, ' ') from events where kind = 'message'", "stopped")
            .await;
        assert_eq!(self.simulator.status(TEAM, channel, thread_ts), None, "the status is cleared");
        assert!(took < STOP_TIMEOUT, "{took:?}");
        reply.visible_text()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_reaches_replying_replica() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "0")]);
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    // The model falls silent after some words: no call to Slack can tell the replica to stop.
    app.simulator.set_model_options("ttft=0&gap=10&stall=6");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: It goes on and on and on and on.");
    app.wait_reply_started(&dm, &ts).await;
    app.simulator.stop_session(TEAM, ADA, &dm, &ts);
    let shown = app.wait_stopped(&dm, &ts).await;
    // The words so far stay.
    let words = shown.strip_suffix("_Stopped._").expect("it says so").trim_end();
    assert!(!words.is_empty() && "It goes on and on and on and on.".starts_with(words), "{shown}");

    app.simulator.set_model_options("ttft=0&gap=0");
    app.send_dm(ADA, Some(&ts), "say: Where were we?");
    let replies = app.wait_replies(&dm, &ts, 2).await;
    assert_eq!(replies[1].visible_text(), "Where were we?");
    let prompt = app.last_prompt();
    let remembered = prompt[2]["content"].as_str().expect("text");
    assert_eq!(remembered, shown, "what was said is remembered: {prompt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_before_first_token_leaves_notice() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=15000");
    let ts = app.post(ADA, "general", None, "@bot say: Never said.");
    let asked = |world: &simulator::FakeSlack| (!world.model_requests().is_empty()).then_some(());
    app.simulator.wait_for(asked, TEST_TIMEOUT).await.expect("the model is asked");
    app.simulator.stop_session(TEAM, ADA, "general", &ts);
    assert_eq!(app.wait_stopped("general", &ts).await, "_Stopped._");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_stream_gets_no_more_text() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=100&words=200");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "tell me a story");
    app.wait_reply_started(&dm, &ts).await;
    app.simulator.stop_session(TEAM, ADA, &dm, &ts);
    let shown = app.wait_stopped(&dm, &ts).await;
    assert!(shown.split_whitespace().count() < 60, "{shown}");
    assert_eq!(app.bot_messages(&dm, &ts).len(), 1, "{:?}", app.bot_messages(&dm, &ts));
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_survives_replica_crash() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "0")]);
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    app.simulator.set_model_options("ttft=0&gap=10&stall=6");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: It goes on and on and on and on.");
    app.wait_reply_started(&dm, &ts).await;
    app.apis[0].kill().expect("it is killed");
    app.simulator.stop_session(TEAM, ADA, &dm, &ts);
    app.wait_acknowledged("agent_session_stopped", 1).await;
    app.add_api(free_port().expect("a port"), &[]);
    let fate = "select outcome, reason from events where kind = 'message'";
    app.wait_for_query(fate, "stopped|stopped before it was answered").await;
    let replies = app.bot_messages(&dm, &ts);
    assert!(replies.len() == 1 && !replies[0].is_streaming, "the text stays: {replies:?}");
    assert_eq!(app.simulator.model_requests().len(), 1, "nothing more is asked");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn posted_reply_has_stop_button() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=10&stall=6");
    app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), 1);
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: It goes on and on and on and on.");
    app.wait_reply_started(&dm, &ts).await;
    let reply = app.bot_messages(&dm, &ts).remove(0);
    assert!(!reply.is_stream);
    let clicked = app.simulator.click(TEAM, ADA, &dm, &reply.ts, "stop", None).await;
    assert_eq!(clicked.expect("there is a button"), 200);
    app.wait_stopped(&dm, &ts).await;
    let blocks = app.bot_messages(&dm, &ts)[0].blocks.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(!blocks.contains("\"stop\"") && blocks.contains("feedback"), "{blocks}");
}
