//! The landing page and the install; later the dashboard. Also the operator's commands.

mod audit;
mod auth;
mod batcher;
mod chart;
pub mod commands;
pub mod doctor;
mod format;
mod key_rotation;
mod operators;
mod overview_cache;
mod page;
pub mod plan;
mod read_your_writes;
mod request_limits;
mod routes;
mod secrets;
mod security_headers;
mod session_loader;
mod settings;
mod state;

pub use settings::WebSettings;
pub use state::serve;
