//! The landing page, the install and the dashboard. Also the operator's commands.

mod allowed_teams;
mod auth;
mod batcher;
mod chart;
pub mod cli;
mod format;
mod jobs;
mod middleware;
mod page;
mod routes;
mod server;
mod settings;
mod state;
mod stream_limits;

pub use server::serve;
pub use settings::WebSettings;
