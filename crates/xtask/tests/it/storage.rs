//! A Supabase Storage in the test's own process, which takes what it should and fails as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "sb_secret_of_the_test_0123456789";

/// What it does with the next objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Answers with this status and body.
    Fails(u16, &'static str),
    /// Keeps the object, and never says so.
    Hangs,
}

#[derive(Default)]
struct Kept {
    mood: Mood,
    /// By bucket and path.
    objects: BTreeMap<String, String>,
    puts: Vec<String>,
}

/// Listens on loopback until the test ends.
#[derive(Clone)]
pub(crate) struct Storage {
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
}

impl Storage {
    pub(crate) async fn start() -> Self {
        let kept = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let routes =
            Router::new().route("/storage/v1/object/{*path}", post(put)).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, kept }
    }

    /// The variables that lead to its bucket `audit`.
    pub(crate) fn variables(&self) -> [(&str, &str); 3] {
        [("SUPABASE_URL", &self.url), ("SUPABASE_SERVICE_KEY", KEY), ("AUDIT_ARCHIVE_BUCKET", "audit")]
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.kept().mood = mood;
    }

    /// What is kept, by bucket and path.
    pub(crate) fn objects(&self) -> BTreeMap<String, String> {
        self.kept().objects.clone()
    }

    /// What it was sent, in this order.
    pub(crate) fn puts(&self) -> Vec<String> {
        self.kept().puts.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panicked")
    }
}

async fn put(
    State(kept): State<Arc<Mutex<Kept>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|has| has == value);
    if !is("authorization", &format!("Bearer {KEY}")) || !is("apikey", KEY) {
        let body = r#"{"statusCode":"403","error":"Unauthorized","message":"Invalid Compact JWS"}"#;
        return (StatusCode::BAD_REQUEST, body);
    }
    if !is("x-upsert", "true") || !is("content-type", "application/x-ndjson") {
        return (StatusCode::BAD_REQUEST, r#"{"statusCode":"400","message":"not as the test expects"}"#);
    }
    let mood = {
        let mut kept = kept.lock().expect("nobody panicked");
        kept.puts.push(path.clone());
        if !matches!(kept.mood, Mood::Fails(..)) {
            kept.objects.insert(path, body);
        }
        kept.mood
    };
    match mood {
        Mood::Well => (StatusCode::OK, r#"{"Key":"audit"}"#),
        Mood::Fails(status, body) => (StatusCode::from_u16(status).expect("a status"), body),
        Mood::Hangs => std::future::pending().await,
    }
}
