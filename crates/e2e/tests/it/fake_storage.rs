//! A fake Supabase Storage in the test's process, which fails on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

pub(crate) const STORAGE_KEY: &str = "sb_secret_of_the_test_0123456789";

/// Its behaviour towards the next objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum StorageBehaviour {
    #[default]
    Accepts,
    /// Responds with this status and body.
    Fails(u16, &'static str),
    /// Stores the object, but never responds.
    Hangs,
}

#[derive(Default)]
struct StorageState {
    behaviour: StorageBehaviour,
    /// Objects by bucket and path.
    objects: BTreeMap<String, String>,
    puts: Vec<String>,
}

/// The server. It listens on loopback until the test ends.
#[derive(Clone)]
pub(crate) struct FakeStorage {
    pub(crate) url: String,
    state: Arc<Mutex<StorageState>>,
}

impl FakeStorage {
    pub(crate) async fn start() -> Self {
        let kept = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let routes =
            Router::new().route("/storage/v1/object/{*path}", post(put_object)).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, state: kept }
    }

    /// Returns the variables that lead to its bucket `audit`.
    pub(crate) fn variables(&self) -> [(&str, &str); 3] {
        [
            ("SUPABASE_URL", &self.url),
            ("SUPABASE_SERVICE_KEY", STORAGE_KEY),
            ("AUDIT_ARCHIVE_BUCKET", "audit"),
        ]
    }

    pub(crate) fn set_behaviour(&self, mood: StorageBehaviour) {
        self.lock_state().behaviour = mood;
    }

    /// Returns the stored objects by bucket and path.
    pub(crate) fn list_objects(&self) -> BTreeMap<String, String> {
        self.lock_state().objects.clone()
    }

    /// Returns the received uploads in order.
    pub(crate) fn list_puts(&self) -> Vec<String> {
        self.lock_state().puts.clone()
    }

    fn lock_state(&self) -> MutexGuard<'_, StorageState> {
        self.state.lock().expect("no panic")
    }
}

async fn put_object(
    State(kept): State<Arc<Mutex<StorageState>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|has| has == value);
    if !is("authorization", &format!("Bearer {STORAGE_KEY}")) || !is("apikey", STORAGE_KEY) {
        let body = r#"{"statusCode":"403","error":"Unauthorized","message":"Invalid Compact JWS"}"#;
        return (StatusCode::BAD_REQUEST, body);
    }
    if !is("x-upsert", "true") || !is("content-type", "application/x-ndjson") {
        return (StatusCode::BAD_REQUEST, r#"{"statusCode":"400","message":"not as the test expects"}"#);
    }
    let mood = {
        let mut kept = kept.lock().expect("no panic");
        kept.puts.push(path.clone());
        if !matches!(kept.behaviour, StorageBehaviour::Fails(..)) {
            kept.objects.insert(path, body);
        }
        kept.behaviour
    };
    match mood {
        StorageBehaviour::Accepts => (StatusCode::OK, r#"{"Key":"audit"}"#),
        StorageBehaviour::Fails(status, body) => (StatusCode::from_u16(status).expect("a status"), body),
        StorageBehaviour::Hangs => std::future::pending().await,
    }
}
