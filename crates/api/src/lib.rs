//! The service `api`. It stores Slack's events before it acknowledges them, and replies to them: `routes` →
//! `inbox` → `worker` → `job` → `reply`, `surface` or `lifecycle`. It also answers programs: `routes` →
//! `http_chat`. Both use the pipeline of the crate `assistant`.
//!
//! `state` holds what the parts share, and imports none of them; `server` builds it and starts everything.

mod app_metrics;
mod extract;
mod fail_point;
mod gauges;
mod http_chat;
mod inbox;
mod job;
mod lease;
mod lifecycle;
mod reply;
mod routes;
mod server;
mod settings;
mod state;
mod surface;
mod token_refresh;
mod trace_spans;
mod worker;
mod workspace_loader;

pub use server::serve;
pub use settings::{ApiSettings, SlackApp};
