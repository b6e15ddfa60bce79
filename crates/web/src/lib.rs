//! The landing page and the install; later the dashboard. Also the operator's commands.

mod app;
pub mod commands;
mod operators;
mod page;
mod routes;
mod secret;
mod session;
mod settings;

pub use app::serve;
pub use settings::Settings;
