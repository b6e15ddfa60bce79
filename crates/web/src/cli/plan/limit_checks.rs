//! Limits that a load may exceed: alert thresholds, Slack's limits, and our own.

use serde::Serialize;

use super::options::{PlanOptions, PlannedLoad};
use super::sizing::{DeploymentSizes, MAX_DIRECT_CONNECTIONS, format_number};

/// Thresholds of the alerts in `deploy/prometheus`.
const MAX_EVENTS_PER_MINUTE: f64 = 1_000.0;
const MAX_RESPONSE_SECONDS: f64 = 2.0;
const MAX_DASHBOARD_USERS: f64 = 500.0;

/// The range in which `deploy/kubernetes` scales `api` automatically.
const API_REPLICA_RANGE: [f64; 2] = [2.0, 20.0];

/// Streams that may be started per minute and workspace.
///
/// Source: <https://docs.slack.dev/reference/methods/chat.startStream>
const MAX_STREAMS_PER_MINUTE: f64 = 20.0;

/// Defaults of `RATE_LIMIT_PER_TENANT` and `RATE_LIMIT_GLOBAL`, per minute.
const DEFAULT_RATE_PER_TENANT: f64 = 100.0;
const DEFAULT_RATE_GLOBAL: f64 = 10_000.0;

/// Cores of the largest common machine for one Postgres.
const MAX_DATABASE_CORES: f64 = 64.0;

/// A limit, and the load compared with it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LimitCheck {
    pub(super) limit: &'static str,
    pub(super) verdict: String,
}

/// Compares a load with all limits.
pub(super) fn check_limits(
    load: PlannedLoad,
    options: &PlanOptions,
    sizes: &DeploymentSizes,
) -> Vec<LimitCheck> {
    let per_minute = sizes.messages_per_second_at_peak * 60.0;
    let per_workspace = load.messages_per_day * options.peak / 1_440.0;
    let limit = |limit, value: f64, max: f64, remedy: &str| {
        let verdict = match value > max {
            true => format!("{} EXCEEDED: {remedy}", format_number(value)),
            false => format!("{}, ok", format_number(value)),
        };
        LimitCheck { limit, verdict }
    };
    vec![
        limit(
            "1,000 events per minute",
            per_minute,
            MAX_EVENTS_PER_MINUTE,
            "raise the alert threshold along with the replicas",
        ),
        limit(
            "2 s for an average answer",
            options.answer_seconds,
            MAX_RESPONSE_SECONDS,
            "model latency; watch the time to the first token instead",
        ),
        limit(
            "500 dashboard users",
            sizes.dashboard_users,
            MAX_DASHBOARD_USERS,
            "set DATABASE_READ_URL to a read replica",
        ),
        limit(
            "2 to 20 replicas of api",
            sizes.api_replicas,
            API_REPLICA_RANGE[1],
            "give each more cores, or raise the HPA's maxReplicas",
        ),
        limit(
            "20 streams per minute and workspace (Slack)",
            per_workspace,
            MAX_STREAMS_PER_MINUTE,
            "Slack delays answers",
        ),
        limit("100 per minute, RATE_LIMIT_PER_TENANT", per_workspace, DEFAULT_RATE_PER_TENANT, "raise it"),
        limit("10,000 per minute, RATE_LIMIT_GLOBAL", per_minute, DEFAULT_RATE_GLOBAL, "raise it"),
        limit(
            "400 connections to Postgres",
            sizes.connections,
            MAX_DIRECT_CONNECTIONS,
            "use a transaction pooler",
        ),
        limit(
            "64 CPU cores for one Postgres",
            sizes.database_cores,
            MAX_DATABASE_CORES,
            "split the workspaces over several deployments, each with its own database",
        ),
    ]
}
