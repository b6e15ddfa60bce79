//! The baseline of `cargo xtask bench ack`: an axum handler that only verifies Slack's signature. Its
//! arguments are the port and the signing secret.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// As many as `MAX_WORKERS` gives `api`.
#[tokio::main(worker_threads = 4)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (port, secret) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    let routes = Router::new()
        .route("/slack/events", post(verify))
        .route("/health/ready", get(|| async { "ready" }))
        .with_state(SigningSecret::new(secret.into()));
    Ok(axum::serve(listener, routes).await?)
}

async fn verify(State(secret): State<SigningSecret>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (timestamp, signature) = (header(TIMESTAMP_HEADER), header(SIGNATURE_HEADER));
    match secret.verify(timestamp, signature, &body, chrono::Utc::now().timestamp()) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}
