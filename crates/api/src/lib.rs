//! Receives what Slack sends, stores it, acts on it: `routes` → `inbox` → `worker` → `work` → `reply` and others.
//! What programs ask is answered at once: `routes` → `chat`.

mod app;
mod chat;
mod extract;
mod fail_point;
mod failure;
mod inbox;
mod life_cycle;
mod money;
mod reply;
mod routes;
mod settings;
mod spans;
mod surface;
mod tokens;
mod work;
mod worker;
mod workspaces;

pub use app::serve;
pub use settings::{Settings, SlackApp};
