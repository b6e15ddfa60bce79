//! `/operators…`: workspaces, queue and system, for operators only.

mod actions;
mod growth_chart;
mod queue;
mod system;
mod tenant;
mod tenants;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};

use crate::state::WebState;

pub(super) const OPERATOR_ROUTES: [(&str, &str); 9] = [
    ("/operators", "GET"),
    ("/operators/tenants/{tenant_id}", "GET"),
    ("/operators/tenants/{tenant_id}/suspend", "POST"),
    ("/operators/tenants/{tenant_id}/resume", "POST"),
    ("/operators/tenants/{tenant_id}/weight", "POST"),
    ("/operators/tenants/{tenant_id}/events/{event_id}/redrive", "POST"),
    ("/operators/tenants/{tenant_id}/events/{event_id}/discard", "POST"),
    ("/operators/queue", "GET"),
    ("/operators/system", "GET"),
];

pub(super) fn router() -> Router<Arc<WebState>> {
    Router::new()
        .route("/operators", get(tenants::list))
        .route("/operators/tenants/{tenant_id}", get(tenant::show))
        .route("/operators/tenants/{tenant_id}/suspend", post(actions::suspend))
        .route("/operators/tenants/{tenant_id}/resume", post(actions::resume))
        .route("/operators/tenants/{tenant_id}/weight", post(actions::set_weight))
        .route("/operators/tenants/{tenant_id}/events/{event_id}/redrive", post(actions::redrive))
        .route("/operators/tenants/{tenant_id}/events/{event_id}/discard", post(actions::discard))
        .route("/operators/queue", get(queue::show))
        .route("/operators/system", get(system::show))
}

/// Returns the label and the CSS class of a tenant's state.
fn tenant_badge(
    suspended_reason: &Option<String>,
    disabled_reason: &Option<String>,
    delete_after: &Option<DateTime<Utc>>,
    installed_at: &Option<DateTime<Utc>>,
) -> (&'static str, &'static str) {
    match (suspended_reason, disabled_reason, delete_after, installed_at) {
        (Some(_), ..) => ("Suspended", "bad"),
        (None, Some(_), ..) => ("Token revoked", "bad"),
        (None, None, Some(_), _) => ("Uninstalled", "plain"),
        (None, None, None, Some(_)) => ("Active", "good"),
        (None, None, None, None) => ("Not installed", "plain"),
    }
}
