//! Receives what Slack sends, stores it, acts on it: `routes` → `inbox` → `worker` → `work` → `reply` and others.
//! What programs ask is answered at once: `routes` → `chat`.

mod app_metrics;
mod budget;
mod extract;
mod fail_point;
mod http_chat;
mod inbox;
mod job_context;
mod job_error;
mod lifecycle;
mod reply;
mod routes;
mod settings;
mod state;
mod surface;
mod token_refresh;
mod trace_spans;
mod worker;
mod workspace_loader;

pub use settings::{ApiSettings, SlackApp};
pub use state::serve;
