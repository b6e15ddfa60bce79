//! A short run of `cargo xtask chaos`, and one of its cases alone.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use xtask::binaries::Binaries;
use xtask::chaos;
use xtask::child_process::{self, Signal};
use xtask::cluster::free_port;
use xtask::service::{Service, ServiceSpec};

use crate::test_app::{ADA, TEST_TIMEOUT, TestApp};

#[test]
fn short_chaos_run_passes() {
    let verdict = chaos::run_with_seed(1, chaos::SHORT_RUN_DURATION).expect("it runs to its end");
    assert!(verdict.has_passed(), "the table above says what went wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_paused_before_post_does_not_post() {
    pause_at_fail_point("posting_noted=1*return(stop)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_paused_mid_reply_does_not_overwrite() {
    pause_at_fail_point("words_appended=1*return(stop)").await;
}

/// Another replica finishes the reply while the first is suspended; then the first continues.
async fn pause_at_fail_point(armed: &str) {
    const EXPECTED_REPLY: &str = "One two three four five six seven eight nine ten eleven twelve.";
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=200");
    app.apis[0].kill().expect("it is killed");
    let armed = start_with_fail_point(&app, free_port().expect("a port"), armed);
    app.simulator.set_events_url(format!("{}/slack/events", armed.url()));
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, &format!("say: {EXPECTED_REPLY}"));
    while !is_process_stopped(armed.pid()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.add_api(free_port().expect("a port"), &[]);
    assert_eq!(app.wait_reply(&dm, &ts).await, EXPECTED_REPLY);
    child_process::send_signal(armed.pid(), Signal::CONT);
    // Long enough for the rest of the reply that it was writing.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (replies, log) = (app.bot_messages(&dm, &ts), armed.log_lines().join("\n"));
    assert_eq!(replies.len(), 1, "{replies:?}\n{log}\n{}", app.api_logs());
    assert_eq!(replies[0].visible_text(), EXPECTED_REPLY, "{log}\n{}", app.api_logs());
}

fn start_with_fail_point(app: &TestApp, port: u16, armed: &str) -> Service {
    let binaries = Binaries::build_with_fail_points().expect("the programs build");
    let mut variables = app.settings.api_variables();
    variables.insert("API_PORT".into(), port.to_string());
    variables.insert("FAILPOINTS".into(), armed.into());
    let program = binaries.path("api").expect("it is built");
    let show = Arc::new(|_: &str| ());
    let start = ServiceSpec { name: "api", program, arguments: Vec::new(), variables, port, log_sink: show };
    let mut service = Service::start(start).expect("it starts");
    service.wait_until_ready("/health/ready", TEST_TIMEOUT).expect("it gets ready");
    service
}

fn is_process_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
