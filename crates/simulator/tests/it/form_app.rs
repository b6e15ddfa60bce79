//! The app's form endpoints: interactions and commands.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use bytes::Bytes;
use serde_json::Value;
use simulator::SimulatorSettings;
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};

use crate::fake_app::FakeApp;

/// A form that the app received.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedForm {
    pub(crate) path: String,
    /// True if its signature was valid.
    pub(crate) is_signed: bool,
    pub(crate) fields: Vec<(String, String)>,
}

impl ReceivedForm {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Returns the parsed `payload`.
    pub(crate) fn payload(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(self.field("payload"))?)
    }
}

/// A [`FakeApp`] that records received forms.
pub(crate) struct FormApp {
    pub(crate) app: FakeApp,
    endpoints: Arc<FormEndpoints>,
}

#[derive(Default)]
struct FormEndpoints {
    forms: Mutex<Vec<ReceivedForm>>,
    response: Mutex<Option<(u16, &'static str, String)>>,
}

impl FormApp {
    /// The app also has commands.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut SimulatorSettings)) -> anyhow::Result<Self> {
        let app = FakeApp::start_with(change).await?;
        let doors = Arc::new(FormEndpoints::default());
        let routes = Router::new()
            .route("/slack/events", post(StatusCode::OK))
            .route("/slack/interactions", any(receive_form))
            .route("/slack/commands", any(receive_form))
            .with_state(doors.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        app.sim.set_events_url(format!("http://{}/slack/events", listener.local_addr()?));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        app.sim.install("T0ACME", &["commands"])?;
        Ok(Self { app, endpoints: doors })
    }

    /// Sets the response to later forms.
    pub(crate) fn respond_with(&self, status: u16, content_type: &'static str, body: impl ToString) {
        let answer = Some((status, content_type, body.to_string()));
        *self.endpoints.response.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Returns the received forms, oldest first.
    pub(crate) fn forms(&self) -> Vec<ReceivedForm> {
        self.endpoints.forms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the last received form.
    pub(crate) fn last_form(&self) -> ReceivedForm {
        self.forms().pop().unwrap_or(ReceivedForm {
            path: String::new(),
            is_signed: false,
            fields: Vec::new(),
        })
    }

    /// Posts JSON to a `response_url`; returns the status and error.
    pub(crate) async fn post_response(&self, url: &str, body: Value) -> anyhow::Result<(u16, Value)> {
        let answer = self.app.http.post(url).json(&body).send().await?;
        Ok((answer.status().as_u16(), answer.json::<Value>().await?["error"].clone()))
    }
}

async fn receive_form(
    State(doors): State<Arc<FormEndpoints>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let secret = SigningSecret::new(SimulatorSettings::default().signing_secret.into());
    let now = chrono::Utc::now().timestamp();
    let signed = secret.verify(text(TIMESTAMP_HEADER), text(SIGNATURE_HEADER), &body, now).is_ok();
    let form = if body.is_empty() { uri.query().unwrap_or_default().as_bytes() } else { &body };
    let fields = serde_urlencoded::from_bytes(form).unwrap_or_default();
    let form = ReceivedForm { path: uri.path().to_owned(), is_signed: signed, fields };
    doors.forms.lock().unwrap_or_else(PoisonError::into_inner).push(form);
    let answer = doors.response.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, kind, body) = answer.unwrap_or((200, "text/plain", String::new()));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}
