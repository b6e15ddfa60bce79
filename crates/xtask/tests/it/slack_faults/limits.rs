//! Rows 19 and 20: answers that are lost, and methods that are held back.

use simulator::Fault;

use crate::test_app::{ADA, PATIENCE, TEAM, TestApp};

const OTHER: &str = "T0BETA";
const OTHER_ADA: &str = "U0ADABETA";

const TEXT: &str =
    "Enough words that some of them are appended, and that each of the calls has its part in it.";

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_a_post_whose_answer_was_lost_is_not_made_again() {
    let app = TestApp::start().await;
    app.simulator.fail("chat.postMessage", Fault::AfterEffect, 1);
    app.install().await;
    let dm = app.dm(ADA);
    assert_eq!(app.simulator.messages(TEAM, &dm).len(), 1, "one welcome");
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.simulator.fail("chat.startStream", Fault::Error("feature_disabled"), 1);
    app.simulator.fail("chat.postMessage", Fault::AfterEffect, 1);
    let ts = app.say(ADA, None, &format!("say: {TEXT}"));
    assert_eq!(app.reply(&dm, &ts).await, TEXT);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_a_streams_calls_whose_answers_were_lost_show_nothing_twice() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    app.simulator.set_model_behaviour("ttft=0&gap=50");
    for method in ["chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update"] {
        app.simulator.fail(method, Fault::AfterEffect, 2);
    }
    let asked: Vec<String> = (0..4).map(|_| app.say(ADA, None, &format!("say: {TEXT}"))).collect();
    for ts in asked {
        assert_eq!(app.reply(&dm, &ts).await, TEXT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_429_holds_back_one_method_of_one_workspace() {
    let app = TestApp::installed().await;
    app.simulator.add_team(OTHER, "Beta");
    app.install_in(OTHER).await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.simulator.fail("chat.startStream", Fault::RateLimited { retry_after: 60 }, 1);
    let dm = app.dm(ADA);
    let begun = std::time::Instant::now();
    for text in ["At once.", "And at once again."] {
        let ts = app.say(ADA, None, &format!("say: {text}"));
        assert_eq!(app.reply(&dm, &ts).await, text);
        assert!(!app.bots(&dm, &ts)[0].streamed, "another method does it meanwhile");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let starts = app.calls_of("chat.startStream");
    assert_eq!(starts.len(), 1, "Slack was not asked again: {starts:?}");
    // The other workspace's stream begins as if nothing were.
    let dm = app.simulator.dm(OTHER, OTHER_ADA).expect("a DM");
    let message = app.message(OTHER_ADA, &dm, None, "say: Streamed.");
    let ts = app.simulator.post(simulator::PostMessage { team: OTHER.into(), ..message }).expect("posted");
    let reply = app.reply_in(OTHER, &dm, &ts).await;
    assert_eq!((reply.shown().as_str(), reply.streamed), ("Streamed.", true));
}

/// Answers in a DM where each of the methods is held back once.
async fn answer_with_429_of(app: &TestApp, methods: &[&str]) {
    app.simulator.set_model_behaviour("ttft=0&gap=50");
    for method in methods {
        app.simulator.fail(method, Fault::RateLimited { retry_after: 1 }, 1);
    }
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, &format!("say: {TEXT}"));
    assert_eq!(app.reply(&dm, &ts).await, TEXT);
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_429_in_mid_stream_delays_it_and_loses_nothing() {
    let app = TestApp::installed().await;
    answer_with_429_of(&app, &["chat.appendStream", "chat.stopStream", "users.info"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_429_where_there_are_no_streams_delays_the_answer_and_loses_nothing() {
    let app = TestApp::installed().await;
    app.simulator.fail("chat.startStream", Fault::Error("feature_disabled"), 2);
    answer_with_429_of(&app, &["chat.postMessage", "chat.update"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_more_answers_than_slacks_limits_let_through_all_arrive_once() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let dm = app.dm(ADA);
    // A workspace may start twenty streams a minute, a channel take one post a second.
    let asked: Vec<String> = (0..28).map(|at| app.say(ADA, None, &format!("say: Answer {at}."))).collect();
    for (at, ts) in asked.iter().enumerate() {
        assert_eq!(app.reply(&dm, ts).await, format!("Answer {at}."));
    }
    let settled =
        |world: &simulator::World| asked.iter().all(|ts| world.status(TEAM, &dm, ts).is_none()).then_some(());
    app.simulator.wait_for(settled, PATIENCE).await.expect("nothing is left thinking");
}
