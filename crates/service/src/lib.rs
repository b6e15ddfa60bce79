//! Code that both services share: settings, logging, metrics, health checks, and the HTTP server.

mod cgroup;
mod client_ip;
mod configuration_doc;
mod database;
mod database_tls;
mod health;
mod healthcheck;
mod listener;
mod log;
mod metrics;
mod otel;
mod otel_settings;
mod process;
mod request_middleware;
mod route_metrics;
mod server;
mod settings;
mod trace_context;

pub use client_ip::TrustedProxies;
pub use configuration_doc::configuration_doc_faults;
pub use database::DatabaseSettings;
pub use health::{HealthCheck, HealthChecks};
pub use healthcheck::run_healthcheck;
pub use metrics::{Metrics, init_counters};
pub use otel_settings::TraceSettings;
pub use process::{ProcessSettings, forbid_core_dumps, instance_address, run};
pub use server::HttpServer;
pub use settings::{ENCRYPTION_KEYS_EXAMPLE, Environment, InvalidVariable, SettingsError, parse_secret};
pub use trace_context::{OTEL_TARGET, current_traceparent, set_remote_parent};
