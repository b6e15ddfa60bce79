//! Which limits a load meets: the thresholds at which operators are told to act, Slack's own, and ours.

use serde::Serialize;

use super::sizing::{MAX_DIRECT_CONNECTIONS, format_number};
use super::{DeploymentSizes, PlanOptions, PlannedLoad};

/// The thresholds of the alerts (deploy/prometheus).
const MAX_EVENTS_PER_MINUTE: f64 = 1_000.0;
const MAX_RESPONSE_SECONDS: f64 = 2.0;
const MAX_DASHBOARD_USERS: f64 = 500.0;

/// Between so many replicas `api` is scaled by itself (deploy/kubernetes).
const API_REPLICA_RANGE: [f64; 2] = [2.0, 20.0];

/// Streams begun a minute in a workspace. Source: <https://docs.slack.dev/reference/methods/chat.startStream>
const MAX_STREAMS_PER_MINUTE: f64 = 20.0;

/// `RATE_LIMIT_PER_TENANT` and `RATE_LIMIT_GLOBAL` as they come.
const DEFAULT_RATE_PER_TENANT: f64 = 100.0;
const DEFAULT_RATE_GLOBAL: f64 = 10_000.0;

/// Cores of the largest ordinary machine for one Postgres.
const MAX_DATABASE_CORES: f64 = 64.0;

/// A limit, and what a load is to it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LimitCheck {
    pub(super) limit: &'static str,
    pub(super) verdict: String,
}

/// All limits, met or not.
pub(super) fn check_limits(
    load: PlannedLoad,
    options: &PlanOptions,
    sizes: &DeploymentSizes,
) -> Vec<LimitCheck> {
    let a_minute = sizes.messages_per_second_at_peak * 60.0;
    let of_one = load.messages_per_day * options.peak / 1_440.0;
    let limit = |limit, value: f64, most: f64, todo: &str| {
        let verdict = match value > most {
            true => format!("{} MET: {todo}", format_number(value)),
            false => format!("{}, below", format_number(value)),
        };
        LimitCheck { limit, verdict }
    };
    vec![
        limit(
            "1,000 events a minute",
            a_minute,
            MAX_EVENTS_PER_MINUTE,
            "the alert is the everyday: raise it with the replicas",
        ),
        limit(
            "2 s of an average response",
            options.answer_seconds,
            MAX_RESPONSE_SECONDS,
            "whole answers take longer by the model; what is waited for is the first word",
        ),
        limit(
            "500 people at the dashboard",
            sizes.dashboard_users,
            MAX_DASHBOARD_USERS,
            "let DATABASE_READ_URL name a read replica",
        ),
        limit(
            "2 to 20 replicas of api",
            sizes.api_replicas,
            API_REPLICA_RANGE[1],
            "give each more cores, or raise the HPA's maxReplicas",
        ),
        limit(
            "20 streams a minute in a workspace (Slack)",
            of_one,
            MAX_STREAMS_PER_MINUTE,
            "Slack holds answers back; they come, and later",
        ),
        limit("100 a minute, RATE_LIMIT_PER_TENANT", of_one, DEFAULT_RATE_PER_TENANT, "raise it"),
        limit("10,000 a minute, RATE_LIMIT_GLOBAL", a_minute, DEFAULT_RATE_GLOBAL, "raise it"),
        limit(
            "400 connections to Postgres",
            sizes.connections,
            MAX_DIRECT_CONNECTIONS,
            "use a transaction pooler",
        ),
        limit(
            "64 cores of one Postgres",
            sizes.database_cores,
            MAX_DATABASE_CORES,
            "several deployments, each with its workspaces and its database",
        ),
    ]
}
