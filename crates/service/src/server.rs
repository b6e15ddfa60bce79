//! Serving: the routes that both services have, what happens around every request, and the orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{HealthChecks, HealthState, live, ready, scrape};
use crate::listener;
use crate::metrics::Metrics;
use crate::request_middleware::RequestMetrics;

/// How long requests in work may go on after that.
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A service, and what it serves.
pub struct HttpServer<P> {
    /// Where it is reached.
    pub listener: TcpListener,
    /// Its name.
    pub service: &'static str,
    /// What it serves besides the base routes.
    pub routes: Router,
    /// Their patterns and methods.
    pub known_routes: Vec<(&'static str, &'static str)>,
    /// Headers of every answer that does not have its own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What it tells of itself.
    pub health_checks: P,
    /// What is counted.
    pub metrics: Metrics,
}

impl<P: HealthChecks> HttpServer<P> {
    /// Serves until `shutdown`, then finishes what is in work.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, service, routes, known_routes: known, headers, health_checks: probes, metrics } =
            self;
        let version = env!("CARGO_PKG_VERSION");
        let state = Arc::new(HealthState {
            service,
            version,
            draining: shutdown.clone(),
            metrics,
            health_checks: probes,
        });
        let base = Router::new()
            .route("/health", get(live::<P>))
            .route("/health/ready", get(ready::<P>))
            .route("/metrics", get(scrape::<P>))
            .with_state(state);
        let app = RequestMetrics::new(routes.merge(base), &known, headers);
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(listener::LAME_DUCK + REQUEST_DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            () = listener::serve_connections(listener, app, listener::HEADER_READ_TIMEOUT, shutdown.clone()) => {}
            () = drained => {}
        }
    }
}
