//! Serving: the routes that both services have, what happens around every request, and the orderly end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tracing::Instrument;

use crate::health::{HealthState, Probes, live, ready, scrape};
use crate::metrics::Metrics;

/// The routes that both services have, with their methods.
const BASE_ROUTES: [(&str, &str); 3] = [("/health", "GET"), ("/health/ready", "GET"), ("/metrics", "GET")];

/// Puts the request counters of a service's routes, given as pattern and method, at zero.
pub fn count_requests_from_zero(routes: &[(&'static str, &'static str)]) {
    for (route, method) in BASE_ROUTES.iter().chain(routes) {
        let labels = [("route", *route), ("method", *method), ("status", "200")];
        metrics::counter!("enablebot_http_requests_total", &labels).absolute(0);
    }
}

/// How long requests are still taken after the signal, so that a balancer that has just looked loses none.
const LAME_DUCK: Duration = Duration::from_millis(500);

/// How long requests in work may go on after that.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves `routes` and the base routes until `shutdown`, then finishes what is in work.
///
/// # Errors
/// The listener fails.
pub async fn serve<P: Probes>(
    listener: TcpListener,
    service: &'static str,
    routes: Router,
    probes: P,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let state = Arc::new(HealthState { service, version, draining: shutdown.clone(), metrics, probes });
    let base = Router::new()
        .route("/health", get(live::<P>))
        .route("/health/ready", get(ready::<P>))
        .route("/metrics", get(scrape::<P>))
        .with_state(state);
    let app = routes
        .merge(base)
        .layer(from_fn(observe))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid));
    let drained = shutdown.clone();
    let closing = async move {
        shutdown.cancelled().await;
        tokio::time::sleep(LAME_DUCK).await;
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(closing);
    tokio::select! {
        ended = server.into_future() => ended,
        () = async { drained.cancelled().await; tokio::time::sleep(LAME_DUCK + DRAIN).await } => Ok(()),
    }
}

/// Counts and times a request by its route's pattern, and logs it under its request id.
async fn observe(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().into());
    let method = request.method().to_string();
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let span = tracing::info_span!(
        "request",
        request_id = request_id.unwrap_or_default(),
        tenant_id = tracing::field::Empty,
        user_id = tracing::field::Empty,
        event_id = tracing::field::Empty
    );
    let response = next.run(request).instrument(span.clone()).await;
    let (status, elapsed) = (response.status(), begun.elapsed());
    span.in_scope(|| log_request(&method, &route, status, elapsed));
    let labels = [("route", route.clone()), ("method", method), ("status", status.as_u16().to_string())];
    metrics::counter!("enablebot_http_requests_total", &labels).increment(1);
    metrics::histogram!("enablebot_http_request_duration_seconds", "route" => route)
        .record(elapsed.as_secs_f64());
    response
}

fn log_request(method: &str, route: &str, status: StatusCode, elapsed: Duration) {
    let duration_ms = elapsed.as_micros() as f64 / 1000.0;
    let result = if status.is_client_error() || status.is_server_error() { "error" } else { "success" };
    if BASE_ROUTES.iter().any(|(base, _)| *base == route) {
        tracing::debug!(duration_ms, status = result, "{method} {route} {}", status.as_u16());
    } else {
        tracing::info!(duration_ms, status = result, "{method} {route} {}", status.as_u16());
    }
}

fn panicked() -> Response {
    tracing::error!("a handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here. Please try again.").into_response()
}
