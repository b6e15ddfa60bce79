//! What both mains share: settings, logging, metrics, serving and draining, health.

mod client;
mod connection;
mod database;
mod health;
mod http;
mod log;
mod metrics;
mod observe;
mod probe;
mod process;
mod settings;
mod share;
mod trace_context;
mod tracer;
mod traces;

pub use client::TrustedProxies;
pub use database::DatabaseSettings;
pub use health::{Check, Probes};
pub use http::Serving;
pub use metrics::{Metrics, count_from_zero};
pub use probe::health;
pub use process::{ProcessSettings, forbid_core_dumps, host, run};
pub use settings::{ENCRYPTION_KEYS_EXAMPLE, Environment, Problem, SettingsError, secret};
pub use trace_context::{EXPORTED, go_on, traceparent};
pub use traces::TraceSettings;
