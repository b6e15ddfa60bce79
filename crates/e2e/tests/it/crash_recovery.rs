//! Concurrent replicas, repeated deliveries, and dying processes.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;

use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

/// Four deliveries to two replicas.
#[tokio::test(flavor = "multi_thread")]
async fn event_delivered_four_times_gets_one_reply() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance_events();
    let dm = app.dm(ADA);
    let message = app.new_message(ADA, &dm, None, "say: Once.");
    let ts = app.simulator.post_with_copies(4, message).expect("Slack takes it");
    assert_eq!(app.wait_reply(&dm, &ts).await, "Once.");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.bot_messages(&dm, &ts).len(), 1);
    assert_eq!(app.simulator.model_requests().len(), 1, "the model is paid once");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_replica_reply_is_finished_by_other() {
    let mut app = TestApp::start_with(|_| {}, &[]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=100&gap=100");
    let dm = app.dm(ADA);
    let text =
        "It is a long answer, so that there is time to die in the middle of it, and it is whole in the end.";
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    app.simulator
        .wait_for(
            |world| world.thread(TEAM, &dm, &ts).iter().any(|message| message.is_streaming).then_some(()),
            TEST_TIMEOUT,
        )
        .await
        .expect("the answer begins");
    app.add_api(free_port().expect("a port"), &[]);
    app.apis[0].kill().expect("it is killed");
    let killed = Instant::now();
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_finishes_reply_on_sigterm() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=100&gap=50");
    let dm = app.dm(ADA);
    let ts = app.send_dm(
        ADA,
        None,
        "say: A dozen words or so, which come slowly, one after the other, to the end.",
    );
    app.simulator
        .wait_for(
            |world| world.thread(TEAM, &dm, &ts).iter().any(|message| message.is_streaming).then_some(()),
            TEST_TIMEOUT,
        )
        .await
        .expect("the answer begins");
    let status = app.apis[0].stop().expect("it ends");
    assert!(status.success(), "{status}");
    assert!(
        app.bot_messages(&dm, &ts)[0].visible_text().ends_with("to the end."),
        "{:?}",
        app.bot_messages(&dm, &ts)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_delivery_is_retried_and_answered() {
    let mut app = TestApp::installed().await;
    let port = app.settings.ports.api;
    app.apis[0].kill().expect("it is killed");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: Here again.");
    app.apis.clear();
    app.add_api(port, &[]);
    assert_eq!(app.wait_reply(&dm, &ts).await, "Here again.");
}
