//! The files of `deploy/nginx`, with a real nginx in front of three replicas of `api` and two of `web`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::time::sleep;
use xtask::cluster::free_port;
use xtask::nginx::{HOST, Nginx};
use xtask::service::Service;

use crate::fixtures::TestDatabase;
use crate::test_app::{ADA, GRACE, TEST_TIMEOUT, TestApp};

/// An app behind nginx, which also receives Slack's events.
struct NginxDeployment {
    app: TestApp,
    webs: Vec<Service>,
    nginx: Nginx,
}

impl NginxDeployment {
    async fn start(configure: impl FnOnce(&mut xtask::settings::StackSettings)) -> Self {
        // The test is about nginx; with Slack's rate limits, this many messages of two people would wait
        // longer than a test.
        let simulated = |slack: &mut simulator::SimulatorSettings| slack.has_rate_limits = false;
        let mut app = TestApp::start_on_database(TestDatabase::create(), configure, simulated, &[]).await;
        for _ in 0..2 {
            app.add_api(free_port().expect("a port"), &[]);
        }
        let webs = vec![app.add_web(free_port().expect("a port"))];
        let apis: Vec<u16> = app.apis.iter().map(|api| api.port).collect();
        let nginx = Nginx::write_config("one-host.conf", &apis, &[app.web.port, webs[0].port]);
        let nginx = nginx.and_then(Nginx::start).expect("nginx starts");
        app.simulator.set_events_url(format!("http://127.0.0.1:{}/slack/events", nginx.plain_port));
        app.install().await;
        Self { app, webs, nginx }
    }

    /// Returns a client that trusts only this certificate.
    fn https_client(&self) -> Client {
        let certificate = self.nginx.certificate().expect("a certificate");
        let certificate = Certificate::from_pem(&certificate).expect("PEM");
        let address = SocketAddr::from(([127, 0, 0, 1], self.nginx.tls_port));
        Client::builder()
            .tls_certs_only([certificate])
            .resolve(HOST, address)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client")
    }

    fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.nginx.tls_port)
    }
}

#[test]
fn nginx_accepts_config_files() {
    for file in ["one-host.conf", "two-hosts.conf"] {
        Nginx::write_config(file, &[10_001, 10_002, 10_003], &[10_004, 10_005]).expect("nginx -t");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_hides_killed_replica() {
    let mut behind = NginxDeployment::start(|_| {}).await;
    let (browser, front) = (behind.https_client(), behind.url("/"));
    let ended = Arc::new(AtomicBool::new(false));
    let looking = tokio::spawn({
        let ended = Arc::clone(&ended);
        async move {
            let mut seen = Vec::new();
            while !ended.load(Ordering::Relaxed) || seen.len() <= 50 {
                seen.push(browser.get(&front).send().await.expect("an answer").status().as_u16());
                // Slower than the limit of one address.
                sleep(Duration::from_millis(60)).await;
            }
            seen
        }
    });
    let before = behind.app.simulator.deliveries().len();
    let mut asked = Vec::new();
    for number in 0..60 {
        let person = [ADA, GRACE][number % 2];
        asked.push((person, behind.app.send_dm(person, None, &format!("say: {number}"))));
        match number {
            20 => drop(behind.app.apis[0].kill().expect("it is killed")),
            30 => drop(behind.webs[0].kill().expect("it is killed")),
            _ => {}
        }
        sleep(Duration::from_millis(25)).await;
    }
    for (number, (person, ts)) in asked.iter().enumerate() {
        let dm = behind.app.dm(person);
        assert_eq!(behind.app.wait_reply(&dm, ts).await, number.to_string(), "{}", behind.nginx.error_log());
        assert_eq!(behind.app.bot_messages(&dm, ts).len(), 1, "answered once");
    }
    ended.store(true, Ordering::Relaxed);
    let seen = looking.await.expect("it looks");
    assert!(seen.iter().all(|status| *status == 200), "{seen:?}\n{}", behind.nginx.error_log());
    let deliveries = behind.app.simulator.deliveries().split_off(before);
    let refused: Vec<_> = deliveries.iter().filter(|delivery| delivery.status != Some(200)).collect();
    assert!(deliveries.len() >= 60 && refused.is_empty(), "{refused:?}\n{}", behind.nginx.error_log());
    behind.app.apis.remove(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_streams_and_hides_metrics() {
    let behind = NginxDeployment::start(|_| {}).await;
    let browser = behind.https_client();
    let http = format!("http://127.0.0.1:{}/dashboard?range=7d", behind.nginx.redirect_port);
    let led = behind.app.http.get(http).header("host", HOST).send().await.expect("an answer");
    assert_eq!(
        (led.status().as_u16(), led.headers()["location"].to_str().expect("text")),
        (301, format!("https://{HOST}/dashboard?range=7d").as_str())
    );
    for (path, status) in [
        ("/", 200),
        ("/health", 200),
        ("/login", 302),
        ("/dashboard", 303),
        ("/metrics", 404),
        ("/health/ready", 404),
    ] {
        let answer = browser.get(behind.url(path)).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    let large = browser.post(behind.url("/slack/events")).body("x".repeat(2 << 20)).send().await;
    assert_eq!(large.expect("an answer").status().as_u16(), 413);
    let unsigned = browser.post(behind.url("/slack/commands")).body("a=b").send().await.expect("an answer");
    assert_eq!(unsigned.status().as_u16(), 401, "it is api that answers");

    let key = behind.app.create_api_key(ADA, &["chat"]).await;
    behind.app.simulator.set_model_options("ttft=50&gap=600");
    let question = json!({ "message": "say: One two three four five six.", "stream": true });
    let call = browser.post(behind.url("/api/chat")).bearer_auth(key).json(&question);
    let mut answer = call.send().await.expect("an answer");
    let mut times = Vec::new();
    while let Some(_piece) = answer.chunk().await.expect("a piece") {
        times.push(std::time::Instant::now());
    }
    let took = times.last().expect("pieces").duration_since(times[0]);
    assert!(times.len() > 3 && took > Duration::from_millis(900), "in pieces, as they are made: {took:?}");
    assert!(took < TEST_TIMEOUT);
}

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_forwarded_for_is_ignored_by_nginx() {
    spoof_addresses(Some("127.0.0.1".into())).await;
}

/// By default the services trust all of loopback, so also the address of this client.
#[tokio::test(flavor = "multi_thread")]
async fn client_in_trusted_network_cannot_spoof() {
    spoof_addresses(None).await;
}

async fn spoof_addresses(trusted_proxies: Option<String>) {
    let behind = NginxDeployment::start(|settings| {
        settings.is_rate_limit_off = false;
        settings.trusted_proxies = trusted_proxies;
    })
    .await;
    let certificate =
        Certificate::from_pem(&behind.nginx.certificate().expect("a certificate")).expect("PEM");
    let address = SocketAddr::from(([127, 0, 0, 1], behind.nginx.tls_port));
    let stranger = Client::builder().tls_certs_only([certificate]).resolve(HOST, address);
    let stranger = stranger.local_address(std::net::IpAddr::from([127, 0, 0, 9]));
    let stranger = stranger.redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let mut statuses = Vec::new();
    for number in 0..80 {
        let call =
            stranger.get(behind.url("/login")).header("x-forwarded-for", format!("198.51.100.{number}"));
        statuses.push(call.send().await.expect("an answer").status().as_u16());
    }
    // Without Redis each of the two replicas counts for itself.
    assert!(statuses.iter().filter(|status| **status == 302).count() <= 62, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}
