//! The HTTP server: base routes, middleware and graceful shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{HealthChecks, HealthState, live, ready, scrape};
use crate::listener::{HEADER_READ_TIMEOUT, LAME_DUCK, serve_connections};
use crate::metrics::Metrics;
use crate::request_middleware::RequestMetrics;

/// The time for requests in progress after the lame-duck period.
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP server of a service.
pub struct HttpServer<P> {
    /// The listening socket.
    pub listener: TcpListener,
    /// The service's name.
    pub service: &'static str,
    /// The routes besides the base routes.
    pub routes: Router,
    /// The patterns and methods of `routes`, for metrics.
    pub known_routes: Vec<(&'static str, &'static str)>,
    /// Default headers of every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The service's health checks.
    pub health_checks: P,
    /// The metrics of this process.
    pub metrics: Metrics,
}

impl<P: HealthChecks> HttpServer<P> {
    /// Serves until `shutdown`, then drains.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, service, routes, known_routes, headers, health_checks, metrics } = self;
        let version = env!("CARGO_PKG_VERSION");
        let draining = shutdown.clone();
        let state = Arc::new(HealthState { service, version, draining, metrics, health_checks });
        let base = Router::new()
            .route("/health", get(live::<P>))
            .route("/health/ready", get(ready::<P>))
            .route("/metrics", get(scrape::<P>))
            .with_state(state);
        let app = RequestMetrics::new(routes.merge(base), &known_routes, headers);
        let drain_timeout = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAME_DUCK + REQUEST_DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            () = serve_connections(listener, app, HEADER_READ_TIMEOUT, shutdown.clone()) => {}
            () = drain_timeout => {}
        }
    }
}
