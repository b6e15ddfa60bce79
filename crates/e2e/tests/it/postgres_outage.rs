//! An unavailable Postgres: connections refused, or no response.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;
use xtask::cluster::free_port;
use xtask::settings::SIGNING_SECRET;

use crate::test_app::{ACK_TIMEOUT, ADA, TEAM, TEST_TIMEOUT, TestApp};

/// Forwards a port to Postgres or another server. Aborting the task closes all connections.
pub(crate) async fn forward_port(port: u16, server: u16) -> JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", server)).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    })
}

/// Accepts connections and never responds.
async fn accept_and_hang(port: u16) -> JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(connection) = listener.accept().await {
            connections.push(connection);
        }
    })
}

pub(crate) async fn abort_and_join(task: JoinHandle<()>) {
    task.abort();
    let _ = task.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_outage_gives_slack_503_then_reply() {
    let mut app = TestApp::installed().await;
    let mut url = Url::parse(&app.database.url).expect("a URL");
    let (port, postgres) = (free_port().expect("a port"), url.port().expect("a port"));
    url.set_port(Some(port)).expect("it takes a port");
    let forwarding = forward_port(port, postgres).await;
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[("DATABASE_URL", url.as_str())]);
    app.simulator.set_model_options("ttft=0&gap=0");

    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: Before.");
    app.wait_reply(&dm, &ts).await;
    let event = json!({
        "type": "event_callback", "event_id": "Ev0AWAY", "team_id": TEAM,
        "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": "U0BOT", "is_bot": true,
                            "is_enterprise_install": false}],
        "event": {"type": "message", "channel_type": "im", "channel": dm, "user": ADA, "text": "say: After.",
                  "ts": "1999999999.000100", "thread_ts": ts, "event_ts": "1999999999.000100"},
    });
    let body = event.to_string();
    let refused = async || {
        let begun = Instant::now();
        let (status, _) = app.post_signed("/slack/events", &body, SIGNING_SECRET, 0).await;
        assert_eq!(status, 503);
        assert!(begun.elapsed() < ACK_TIMEOUT, "{:?}", begun.elapsed());
    };
    abort_and_join(forwarding).await;
    refused().await;
    let silence = accept_and_hang(port).await;
    refused().await;
    abort_and_join(silence).await;

    let _forwarding = forward_port(port, postgres).await;
    let begun = Instant::now();
    while app.post_signed("/slack/events", &body, SIGNING_SECRET, 0).await.0 != 200 {
        assert!(begun.elapsed() < TEST_TIMEOUT, "it does not come back\n{}", app.api_logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let texts: Vec<String> =
        app.wait_replies(&dm, &ts, 2).await.iter().map(simulator::SlackMessage::visible_text).collect();
    assert_eq!(texts, ["Before.", "After."]);
}
