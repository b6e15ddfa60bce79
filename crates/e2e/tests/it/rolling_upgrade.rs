//! An upgrade from one release to the next, replica by replica, under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use xtask::binaries::Binaries;
use xtask::cluster::free_port;
use xtask::nginx::{HOST, Nginx};
use xtask::previous_release;
use xtask::service::{self, Service};
use xtask::settings::StackSettings;

use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::{ADA, TestApp};

/// As the contract defines it.
const ROLLING_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Three replicas of `api` and two of `web` behind nginx, and clients that send requests all the time.
struct UpgradeDeployment {
    app: TestApp,
    webs: Vec<Service>,
    nginx: Nginx,
    messages: Vec<(String, String)>,
    is_ended: Arc<AtomicBool>,
    clients: Vec<(&'static str, JoinHandle<Vec<u16>>)>,
}

impl UpgradeDeployment {
    async fn start(release: Binaries) -> Self {
        let simulated = |slack: &mut simulator::SimulatorSettings| slack.has_rate_limits = false;
        // One role for everything, as a release from before the role of the services has it.
        let owner = |settings: &mut StackSettings| settings.service_role = None;
        let mut app = TestApp::start_release(release, TestDatabase::create(), owner, simulated, &[]).await;
        for _ in 0..2 {
            app.add_api(free_port().expect("a port"), &[]);
        }
        let webs = vec![app.add_web(free_port().expect("a port"))];
        let apis: Vec<u16> = app.apis.iter().map(|api| api.port).collect();
        let nginx = Nginx::write_config("one-host.conf", &apis, &[app.web.port, webs[0].port]);
        let nginx = nginx.and_then(Nginx::start).expect("nginx starts");
        app.simulator.set_events_url(format!("http://127.0.0.1:{}/slack/events", nginx.plain_port));
        app.install().await;
        app.simulator.set_model_options("ttft=100&gap=20");
        Self { app, webs, nginx, messages: Vec::new(), is_ended: Arc::default(), clients: Vec::new() }
    }

    /// Starts clients of pages and of the API. Each waits for a response before its next request.
    async fn start_clients(&mut self) {
        let (cookie, key) = (self.app.sign_in(ADA).await, self.app.create_api_key(ADA, &["chat"]).await);
        let (client, url) =
            (self.https_client(), |path: &str| format!("https://{HOST}:{}{path}", self.nginx.tls_port));
        let question = json!({ "message": "say: Yes." });
        let page = client.get(url("/dashboard")).header("cookie", cookie);
        let asked = [
            ("/", client.get(url("/"))),
            ("/dashboard", page),
            ("/api/chat", client.post(url("/api/chat")).bearer_auth(key).json(&question)),
        ];
        for (what, request) in asked {
            self.clients.push((what, tokio::spawn(repeat_request(request, Arc::clone(&self.is_ended)))));
        }
    }

    fn https_client(&self) -> Client {
        let certificate = Certificate::from_pem(&self.nginx.certificate().expect("a certificate"));
        Client::builder()
            .tls_certs_only([certificate.expect("PEM")])
            .resolve(HOST, SocketAddr::from(([127, 0, 0, 1], self.nginx.tls_port)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client")
    }

    /// Sends messages.
    async fn send_messages(&mut self, times: usize) {
        for _ in 0..times {
            let words = format!("Answer {}.", self.messages.len());
            let ts = self.app.send_dm(ADA, None, &format!("say: {words}"));
            self.messages.push((ts, words));
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops a replica as an operator does, under load, and starts `app.release` in its place.
    async fn replace_replica(&mut self, take: impl Fn(&mut Self) -> &mut Service) {
        let (begun, replica) = (Instant::now(), take(self));
        let (port, name) = (replica.port, replica.name.clone());
        replica.terminate();
        while take(self).exit_status().expect("a child").is_none() {
            assert!(begun.elapsed() < ROLLING_DRAIN_TIMEOUT, "{name} does not end");
            self.send_messages(1).await;
        }
        let old = take(self);
        let status = old.stop().expect("it has ended");
        let errors: Vec<_> =
            old.log_lines().into_iter().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
        assert!(status.success() && errors.is_empty(), "{name}: {status}\n{}", errors.join("\n"));
        let new = match name.as_str() {
            "web" => self.app.add_web(port),
            _ => {
                self.app.add_api(port, &[]);
                self.app.apis.pop().expect("just started")
            }
        };
        *take(self) = new;
        // nginx avoids an unreachable replica for one second.
        self.send_messages(30).await;
    }

    async fn replace_all(&mut self) {
        for at in 0..3 {
            self.replace_replica(|deployment| &mut deployment.app.apis[at]).await;
        }
        self.replace_replica(|deployment| &mut deployment.app.web).await;
        self.replace_replica(|deployment| &mut deployment.webs[0]).await;
    }

    /// Asserts that each message has one reply and no request failed.
    async fn assert_nothing_lost(mut self) {
        self.app.assert_all_answered(&self.messages).await;
        self.is_ended.store(true, Ordering::Relaxed);
        for (what, asker) in self.clients.drain(..) {
            let statuses = asker.await.expect("it asks");
            // A program's question is not sent to a second replica; a stopping replica says that it stops.
            let is_bad = |status: &u16| *status != 200 && (what, *status) != ("/api/chat", 503);
            let bad: Vec<_> = statuses.iter().copied().filter(is_bad).collect();
            let answered = statuses.iter().filter(|status| **status == 200).count();
            assert!(answered > 20 && bad.is_empty(), "{what}: {bad:?}\n{}", self.nginx.error_log());
        }
        let refused = |delivery: &simulator::DeliveryAttempt| !matches!(delivery.status, Some(200 | 503));
        let refused: Vec<_> = self.app.simulator.deliveries().into_iter().filter(refused).collect();
        assert!(refused.is_empty() && self.messages.len() > 40, "{refused:?}\n{}", self.nginx.error_log());
    }
}

async fn repeat_request(request: RequestBuilder, ended: Arc<AtomicBool>) -> Vec<u16> {
    let mut seen = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let request = request.try_clone().expect("a request that can be sent again");
        // A request without any response counts as failed.
        seen.push(request.send().await.map_or(0, |answer| answer.status().as_u16()));
        sleep(Duration::from_millis(100)).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_and_rollback_under_load_lose_nothing() {
    let new = binaries().clone();
    let old = previous_release::build().expect("the release before builds").unwrap_or_else(|| new.clone());
    let mut deployment = UpgradeDeployment::start(old.clone()).await;
    deployment.start_clients().await;
    deployment.send_messages(10).await;
    // The previous release works with the schema of this one.
    let settings = deployment.app.settings.web_variables();
    let migrated = tokio::task::spawn_blocking({
        let web = new.path("web").expect("it is built").to_owned();
        move || service::run_command(&web, &["migrate"], &settings)
    });
    while !migrated.is_finished() {
        deployment.send_messages(1).await;
    }
    migrated.await.expect("it runs").expect("it migrates");
    deployment.send_messages(10).await;
    deployment.app.release = new;
    deployment.replace_all().await;
    // And it starts on that schema, for a rollback.
    deployment.app.release = old;
    deployment.replace_replica(|deployment| &mut deployment.app.apis[0]).await;
    deployment.replace_replica(|deployment| &mut deployment.app.web).await;
    deployment.assert_nothing_lost().await;
}
