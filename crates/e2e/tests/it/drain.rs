//! Replicas that are asked to stop: work in progress is finished or handed over.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;
use xtask::http;

use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn reply_longer_than_drain_is_handed_over() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=400");
    let words: Vec<String> = (1..=80).map(|word| format!("word-{word}")).collect();
    let (dm, text) = (app.dm(ADA), words.join(" "));
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let shown = |world: &simulator::FakeSlack| {
        world.thread(TEAM, &dm, &ts).iter().any(|message| message.is_streaming).then_some(())
    };
    app.simulator.wait_for(shown, TEST_TIMEOUT).await.expect("the answer begins");
    app.simulator.set_model_options("ttft=0&gap=0");
    app.add_api(free_port().expect("a port"), &[]);
    let begun = Instant::now();
    app.apis[0].terminate();
    let port = app.apis[0].port;
    // It accepts connections for another half second, and must say within it that it is not ready.
    loop {
        let response = http::send_request(port, "GET", "/health/ready", &[], "").expect("a response");
        if response.status != 200 {
            assert_eq!(response.status, 503);
            break;
        }
    }
    let status = app.apis[0].stop().expect("it ends");
    assert!(status.success() && begun.elapsed() < Duration::from_secs(30), "{status} {:?}", begun.elapsed());
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    let said = app.last_prompt_prefix();
    assert!(text.starts_with(&said) && said.split_whitespace().count() > 20, "it continues: {said}");
    assert_eq!(app.simulator.model_requests().len(), 2);
}

/// Three replicas are restarted one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_under_load_loses_nothing() {
    let mut app = TestApp::start_with(|settings| settings.has_rate_limits = false, &[]).await;
    app.install().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.add_api(free_port().expect("a port"), &[]);
    app.balance_events();
    app.simulator.set_model_options("ttft=300&gap=40");
    let (mut said, mut number) = (Vec::new(), 0);
    for replica in 0..3 {
        let port = app.apis[replica].port;
        app.apis[replica].terminate();
        // Like a load balancer, which sends nothing to a replica that is not ready.
        let others =
            app.apis.iter().filter(|api| api.port != port).map(|api| format!("{}/slack/events", api.url()));
        let others: Vec<String> = others.collect();
        let begun = Instant::now();
        while app.apis[replica].exit_status().expect("a child").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", app.api_logs());
            let words = format!("Answer {number}.");
            said.push((app.send_dm(ADA, None, &format!("say: {words}")), words));
            number += 1;
            if !http::is_ok(port, "/health/ready") {
                app.simulator.set_events_urls(others.clone());
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let status = app.apis[replica].stop().expect("it has ended");
        assert!(status.success(), "{status}");
        app.add_api(port, &[]);
        let new = app.apis.pop().expect("just started");
        app.apis[replica] = new;
        app.balance_events();
        for _ in 0..15 {
            let words = format!("Answer {number}.");
            said.push((app.send_dm(ADA, None, &format!("say: {words}")), words));
            number += 1;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
    app.assert_all_answered(&said).await;
    let statuses: Vec<_> = app.simulator.deliveries().iter().filter_map(|delivery| delivery.status).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(said.len() > 40, "{} messages", said.len());
}
