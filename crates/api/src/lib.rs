//! Receives what Slack sends, stores it, answers it: `routes` → `inbox` → `worker` → `reply`.

mod app;
mod extract;
mod failure;
mod inbox;
mod model;
mod reply;
mod routes;
mod settings;
mod worker;

pub use app::serve;
pub use settings::{ModelSettings, Settings};
