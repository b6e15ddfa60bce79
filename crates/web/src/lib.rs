//! The landing page and the install; later the dashboard. Also the operator's commands.

mod app;
mod chart;
pub mod commands;
mod headers;
mod intake;
mod operators;
mod page;
mod routes;
mod secret;
mod session;
mod settings;
mod words;

pub use app::serve;
pub use settings::Settings;
