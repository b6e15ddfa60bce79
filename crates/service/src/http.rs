//! Serving: the routes that both services have, what happens around every request, and the orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::routing::get;
use axum::{Router, ServiceExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{HealthState, Probes, live, ready, scrape};
use crate::metrics::Metrics;
use crate::observe::Observe;

/// How long requests are still taken after the signal, so that a balancer that has just looked loses none.
const LAME_DUCK: Duration = Duration::from_millis(500);

/// How long requests in work may go on after that.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves `routes`, whose patterns and methods are `known`, and the base routes until `shutdown`, then finishes what is in
/// work.
///
/// # Errors
/// The listener fails.
pub async fn serve<P: Probes>(
    listener: TcpListener,
    service: &'static str,
    routes: Router,
    known: &[(&'static str, &'static str)],
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
    let app = Observe::new(routes.merge(base), known);
    let drained = shutdown.clone();
    let closing = async move {
        shutdown.cancelled().await;
        tokio::time::sleep(LAME_DUCK).await;
    };
    let server =
        axum::serve(listener, ServiceExt::<Request>::into_make_service(app)).with_graceful_shutdown(closing);
    tokio::select! {
        ended = server.into_future() => ended,
        () = async { drained.cancelled().await; tokio::time::sleep(LAME_DUCK + DRAIN).await } => Ok(()),
    }
}
