//! A short run of `cargo xtask chaos`, and one of its cases alone.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use xtask::binaries::Binaries;
use xtask::chaos;
use xtask::cluster::free_port;
use xtask::launch::{self, Signal};
use xtask::service::{Service, Start};

use crate::test_app::{ADA, PATIENCE, TestApp};

#[test]
fn under_faults_of_every_kind_nothing_is_lost_doubled_or_out_of_order() {
    let verdict = chaos::wreak(1, chaos::SHORT).expect("it runs to its end");
    assert!(verdict.is_good(), "the table above says what went wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stood_still_just_before_its_post_does_not_post_any_more() {
    stand_still_at("posting_noted=1*return(stop)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stood_still_in_mid_answer_leaves_alone_what_another_finished() {
    stand_still_at("words_appended=1*return(stop)").await;
}

/// Another replica finishes the answer meanwhile; then the first goes on.
async fn stand_still_at(armed: &str) {
    const ANSWER: &str = "One two three four five six seven eight nine ten eleven twelve.";
    let mut app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=200");
    app.apis[0].kill().expect("it is killed");
    let armed = start_armed(&app, free_port().expect("a port"), armed);
    app.simulator.set_events_url(format!("{}/slack/events", armed.url()));
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, &format!("say: {ANSWER}"));
    while !stands_still(armed.pid()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.add_api(free_port().expect("a port"), &[]);
    assert_eq!(app.reply(&dm, &ts).await, ANSWER);
    launch::send(armed.pid(), Signal::CONT);
    // Long enough for the rest of the answer, which it was in the middle of.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (replies, log) = (app.bots(&dm, &ts), armed.lines().join("\n"));
    assert_eq!(replies.len(), 1, "{replies:?}\n{log}\n{}", app.logs());
    assert_eq!(replies[0].shown(), ANSWER, "{log}\n{}", app.logs());
}

fn start_armed(app: &TestApp, port: u16, armed: &str) -> Service {
    let binaries = Binaries::build_with_fail_points().expect("the programs build");
    let mut variables = app.settings.api();
    variables.insert("API_PORT".into(), port.to_string());
    variables.insert("FAILPOINTS".into(), armed.into());
    let program = binaries.path("api").expect("it is built");
    let show = Arc::new(|_: &str| ());
    let start = Start { name: "api", program, arguments: Vec::new(), variables, port, show };
    let mut service = Service::start(start).expect("it starts");
    service.wait_ready("/health/ready", PATIENCE).expect("it gets ready");
    service
}

fn stands_still(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
