//! A fake app that receives events and calls methods.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use serde_json::Value;
use simulator::{PostMessage, Simulator, SimulatorSettings};
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};
use tokio::sync::Notify;

/// Longer than any operation takes.
pub(crate) const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Scopes of an app that replies in DMs and channels.
pub(crate) const BOT_SCOPES: [&str; 8] = [
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "chat:write",
    "im:history",
    "im:write",
    "reactions:write",
    "users:read",
];

/// A received delivery with a valid signature.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedEvent {
    pub(crate) envelope: Value,
    pub(crate) retry_num: Option<String>,
    pub(crate) retry_reason: Option<String>,
}

/// A simulator with the app installed in `T0ACME`, and the app.
pub(crate) struct FakeApp {
    pub(crate) sim: Simulator,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
    inbox: Arc<EventInbox>,
}

struct EventInbox {
    received: Mutex<Vec<ReceivedEvent>>,
    /// Statuses to answer with, before 200.
    statuses: Mutex<Vec<u16>>,
    arrived: Notify,
    /// No delivery is answered before this many arrived.
    min_arrivals: AtomicUsize,
    secret: SigningSecret,
}

impl EventInbox {
    async fn wait_for_arrivals(&self, count: usize) {
        loop {
            let arrived = self.arrived.notified();
            if self.received.lock().unwrap_or_else(PoisonError::into_inner).len() >= count {
                return;
            }
            arrived.await;
        }
    }
}

impl FakeApp {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut SimulatorSettings)) -> anyhow::Result<Self> {
        let mut settings = SimulatorSettings {
            retry_delays: [Duration::from_millis(10); 3],
            has_rate_limits: false,
            ..SimulatorSettings::default()
        };
        change(&mut settings);
        let inbox = Arc::new(EventInbox {
            received: Mutex::default(),
            statuses: Mutex::default(),
            arrived: Notify::new(),
            min_arrivals: AtomicUsize::new(0),
            secret: SigningSecret::new(settings.signing_secret.clone().into()),
        });
        let routes = Router::new().route("/slack/events", post(receive_event)).with_state(inbox.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        settings.events_url = format!("http://{}/slack/events", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let sim = Simulator::start(settings).await?;
        let token = sim.install("T0ACME", &BOT_SCOPES)?.token;
        Ok(Self { sim, http: reqwest::Client::builder().no_proxy().build()?, token, inbox })
    }

    /// Responds to the next deliveries with these statuses, last first.
    pub(crate) fn answer_with(&self, statuses: &[u16]) {
        *self.inbox.statuses.lock().unwrap_or_else(PoisonError::into_inner) = statuses.to_vec();
    }

    /// Answers no delivery before this many have arrived.
    pub(crate) fn hold_answers_until(&self, count: usize) {
        self.inbox.min_arrivals.store(count, Ordering::Relaxed);
    }

    /// Waits for `count` deliveries and returns them.
    pub(crate) async fn received(&self, count: usize) -> anyhow::Result<Vec<ReceivedEvent>> {
        let waiting = self.inbox.wait_for_arrivals(count);
        tokio::time::timeout(RECEIVE_TIMEOUT, waiting).await.context("events did not arrive")?;
        Ok(self.inbox.received.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Calls a method with JSON and the bot token; returns the response.
    pub(crate) async fn call(&self, method: &str, args: Value) -> anyhow::Result<Value> {
        let url = format!("{}/api/{method}", self.sim.base_url());
        Ok(self.http.post(url).bearer_auth(&self.token).json(&args).send().await?.json().await?)
    }

    /// Calls a method with a query and the bot token; returns the response.
    pub(crate) async fn read(&self, method: &str, args: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = format!("{}/api/{method}", self.sim.base_url());
        Ok(self.http.get(url).query(args).bearer_auth(&self.token).send().await?.json().await?)
    }

    /// Calls a method that must fail; returns its error.
    pub(crate) async fn call_error(&self, method: &str, args: Value) -> anyhow::Result<String> {
        let answer = self.call(method, args).await?;
        anyhow::ensure!(answer["ok"] == false, "{method} was to be refused: {answer}");
        Ok(answer["error"].as_str().context("an error")?.to_owned())
    }

    /// Posts as Ada; returns the message's `ts`.
    pub(crate) fn post_as_ada(&self, channel: &str, text: &str) -> anyhow::Result<String> {
        self.sim.post(PostMessage {
            team: "T0ACME".into(),
            channel: channel.into(),
            user: "U0ADA".into(),
            text: text.into(),
            thread_ts: None,
            ..PostMessage::default()
        })
    }
}

async fn receive_event(State(inbox): State<Arc<EventInbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let now = chrono::Utc::now().timestamp();
    if inbox.secret.verify(text(TIMESTAMP_HEADER), text(SIGNATURE_HEADER), &body, now).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let received = ReceivedEvent {
        envelope: serde_json::from_slice(&body).unwrap_or_default(),
        retry_num: text("x-slack-retry-num").map(str::to_owned),
        retry_reason: text("x-slack-retry-reason").map(str::to_owned),
    };
    inbox.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    inbox.arrived.notify_waiters();
    inbox.wait_for_arrivals(inbox.min_arrivals.load(Ordering::Relaxed)).await;
    let status = inbox.statuses.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}
