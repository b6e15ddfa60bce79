//! Replicas race, deliveries repeat, processes die.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;

use crate::test_app::{ADA, TEAM, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_delivered_four_times_to_two_replicas_gets_one_reply() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance();
    let dm = app.dm(ADA);
    let message = app.message(ADA, &dm, None, "say: Once.");
    let ts = app.simulator.deliver_times(4, message).expect("Slack takes it");
    assert_eq!(app.reply(&dm, &ts).await, "Once.");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.bots(&dm, &ts).len(), 1);
    assert_eq!(app.simulator.model_requests().len(), 1, "the model is paid once");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_answering_replica_is_killed_the_other_finishes_the_same_message() {
    let mut app = TestApp::start_with(|_| {}, &[]).await;
    app.install().await;
    app.simulator.set_model_behaviour("ttft=100&gap=100");
    let dm = app.dm(ADA);
    let text =
        "It is a long answer, so that there is time to die in the middle of it, and it is whole in the end.";
    let ts = app.say(ADA, None, &format!("say: {text}"));
    app.simulator
        .wait_for(
            |world| world.thread(TEAM, &dm, &ts).iter().any(|message| message.streaming).then_some(()),
            Duration::from_secs(10),
        )
        .await
        .expect("the answer begins");
    app.add_api(free_port().expect("a port"), &[]);
    app.apis[0].kill().expect("it is killed");
    let killed = Instant::now();
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    assert_eq!(app.reply(&dm, &ts).await, text);
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_told_to_stop_finishes_its_answer_and_leaves_with_zero() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=100&gap=50");
    let dm = app.dm(ADA);
    let ts =
        app.say(ADA, None, "say: A dozen words or so, which come slowly, one after the other, to the end.");
    app.simulator
        .wait_for(
            |world| world.thread(TEAM, &dm, &ts).iter().any(|message| message.streaming).then_some(()),
            Duration::from_secs(10),
        )
        .await
        .expect("the answer begins");
    let status = app.apis[0].stop().expect("it ends");
    assert!(status.success(), "{status}");
    assert!(app.bots(&dm, &ts)[0].shown().ends_with("to the end."), "{:?}", app.bots(&dm, &ts));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_finds_nobody_comes_again_and_is_answered() {
    let mut app = TestApp::installed().await;
    let port = app.settings.ports.api;
    app.apis[0].kill().expect("it is killed");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: Here again.");
    app.apis.clear();
    app.add_api(port, &[]);
    assert_eq!(app.reply(&dm, &ts).await, "Here again.");
}
