//! The health routes: liveness, readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The state of one part that the service depends on.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    name: &'static str,
    state: String,
    is_ready: bool,
}

impl HealthCheck {
    /// Creates a check that decides readiness. `Err` holds the problem.
    pub fn critical(name: &'static str, result: Result<(), String>) -> Self {
        let is_ready = result.is_ok();
        Self { name, state: result.err().unwrap_or_else(|| "ok".into()), is_ready }
    }

    /// Reports that the services' role in Postgres may do more than it needs, and what; `None` if it may not.
    pub fn database_role(excess_rights: &str) -> Option<Self> {
        let state = format!("{excess_rights}; give the services a role of their own (deploy/README.md)");
        (!excess_rights.is_empty()).then(|| Self::informational("database_role", state))
    }

    /// Creates a check that is only reported.
    pub fn informational(name: &'static str, state: String) -> Self {
        Self { name, state, is_ready: true }
    }
}

/// The health checks and gauges of a service.
pub trait HealthChecks: Send + Sync + 'static {
    /// Runs all checks. Should take no more than a second.
    fn checks(&self) -> impl Future<Output = Vec<HealthCheck>> + Send;

    /// Updates the gauges before a scrape.
    fn update_gauges(&self) -> impl Future<Output = ()> + Send;
}

#[derive(Debug)]
pub(crate) struct HealthState<P> {
    pub(crate) service: &'static str,
    pub(crate) version: &'static str,
    pub(crate) draining: CancellationToken,
    pub(crate) metrics: Metrics,
    pub(crate) health_checks: P,
}

pub(crate) async fn live<P: HealthChecks>(State(state): State<Arc<HealthState<P>>>) -> Json<Value> {
    Json(json!({ "status": "ok", "service": state.service, "version": state.version }))
}

pub(crate) async fn ready<P: HealthChecks>(State(state): State<Arc<HealthState<P>>>) -> Response {
    let mut checks = state.health_checks.checks().await;
    if state.draining.is_cancelled() {
        checks.push(HealthCheck::critical("process", Err("draining".into())));
    }
    let is_ready = checks.iter().all(|check| check.is_ready);
    let states: Map<String, Value> =
        checks.into_iter().map(|check| (check.name.to_owned(), check.state.into())).collect();
    let (code, status) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    (code, Json(json!({ "status": status, "checks": states }))).into_response()
}

pub(crate) async fn scrape<P: HealthChecks>(State(state): State<Arc<HealthState<P>>>) -> Response {
    state.health_checks.update_gauges().await;
    ([("content-type", "text/plain; version=0.0.4")], state.metrics.render()).into_response()
}
