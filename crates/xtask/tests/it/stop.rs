//! "Stop": whoever answers stops at once, wherever the wish was heard, and the thread goes on.

use std::time::{Duration, Instant};

use simulator::Fault;
use xtask::cluster::free_port;

use crate::test_app::{ADA, PATIENCE, TEAM, TestApp};

/// Far less than a model's patience, and than what is waited for by polling.
const AT_ONCE: Duration = Duration::from_millis(1500);

impl TestApp {
    /// Waits until some of the answer is shown.
    pub(crate) async fn begun(&self, channel: &str, thread_ts: &str) {
        let begun = |world: &simulator::World| {
            let thread = world.thread(TEAM, channel, thread_ts);
            thread.iter().any(|message| message.bot_id.is_some() && !message.shown().is_empty()).then_some(())
        };
        self.simulator.wait_for(begun, PATIENCE).await.expect("the answer begins");
    }

    /// The answer ends as stopped, by itself and soon; what it says then.
    async fn ends_stopped(&self, channel: &str, thread_ts: &str) -> String {
        let begun = Instant::now();
        let ended = |world: &simulator::World| {
            let thread = world.thread(TEAM, channel, thread_ts);
            let mut replies = thread.iter().filter(|message| message.bot_id.is_some() && !message.streaming);
            replies.next_back().filter(|reply| reply.shown().ends_with("_Stopped._")).cloned()
        };
        let reply = self.simulator.wait_for(ended, PATIENCE).await;
        let took = begun.elapsed();
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        self.becomes("select string_agg(outcome, ' ') from events where kind = 'message'", "stopped").await;
        assert_eq!(self.simulator.status(TEAM, channel, thread_ts), None, "the status is cleared");
        assert!(took < AT_ONCE, "{took:?}");
        reply.shown()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_replica_that_answers_though_another_one_heard_it() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "0")]);
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    // After some words nothing comes any more: no call to Slack can tell that it is to stop.
    app.simulator.set_model_behaviour("ttft=0&gap=10&stall=6");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: It goes on and on and on and on.");
    app.begun(&dm, &ts).await;
    app.simulator.stop(TEAM, ADA, &dm, &ts);
    let shown = app.ends_stopped(&dm, &ts).await;
    // However many words were there by then, they stay.
    let words = shown.strip_suffix("_Stopped._").expect("it says so").trim_end();
    assert!(!words.is_empty() && "It goes on and on and on and on.".starts_with(words), "{shown}");

    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.say(ADA, Some(&ts), "say: Where were we?");
    let replies = app.replies(&dm, &ts, 2).await;
    assert_eq!(replies[1].shown(), "Where were we?");
    let prompt = app.last_prompt();
    let remembered = prompt[2]["content"].as_str().expect("text");
    assert_eq!(remembered, shown, "what was said is remembered: {prompt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_first_word_leaves_a_word_of_it() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=15000");
    let ts = app.post(ADA, "general", None, "@bot say: Never said.");
    let asked = |world: &simulator::World| (!world.model_requests().is_empty()).then_some(());
    app.simulator.wait_for(asked, PATIENCE).await.expect("the model is asked");
    app.simulator.stop(TEAM, ADA, "general", &ts);
    assert_eq!(app.ends_stopped("general", &ts).await, "_Stopped._");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_stopped_takes_no_more_words() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=100&words=200");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "tell me a story");
    app.begun(&dm, &ts).await;
    app.simulator.stop(TEAM, ADA, &dm, &ts);
    let shown = app.ends_stopped(&dm, &ts).await;
    assert!(shown.split_whitespace().count() < 60, "{shown}");
    assert_eq!(app.bots(&dm, &ts).len(), 1, "{:?}", app.bots(&dm, &ts));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_outlives_the_replica_that_answered() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[("MAX_CONCURRENT_REPLIES", "0")]);
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    app.simulator.set_model_behaviour("ttft=0&gap=10&stall=6");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: It goes on and on and on and on.");
    app.begun(&dm, &ts).await;
    app.apis[0].kill().expect("it is killed");
    app.simulator.stop(TEAM, ADA, &dm, &ts);
    app.acknowledged("agent_session_stopped", 1).await;
    app.add_api(free_port().expect("a port"), &[]);
    let fate = "select outcome, reason from events where kind = 'message'";
    app.becomes(fate, "stopped|stopped before it was answered").await;
    let replies = app.bots(&dm, &ts);
    assert!(replies.len() == 1 && !replies[0].streaming, "what stands there stays: {replies:?}");
    assert_eq!(app.simulator.model_requests().len(), 1, "nothing more is asked");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_stream_has_a_button_to_stop_it() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=10&stall=6");
    app.simulator.fail("chat.startStream", Fault::Error("feature_disabled"), 1);
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: It goes on and on and on and on.");
    app.begun(&dm, &ts).await;
    let reply = app.bots(&dm, &ts).remove(0);
    assert!(!reply.streamed);
    let clicked = app.simulator.click(TEAM, ADA, &dm, &reply.ts, "stop", None).await;
    assert_eq!(clicked.expect("there is a button"), 200);
    app.ends_stopped(&dm, &ts).await;
    let blocks = app.bots(&dm, &ts)[0].blocks.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(!blocks.contains("\"stop\"") && blocks.contains("feedback"), "{blocks}");
}
