//! The landing page and the install; later the dashboard. Also the operator's commands.

mod app;
mod audit;
mod chart;
pub mod commands;
pub mod doctor;
mod door;
mod headers;
mod intake;
mod operators;
mod overviews;
mod page;
pub mod plan;
mod rotation;
mod routes;
mod secret;
mod session;
mod settings;
mod together;
mod words;

pub use app::serve;
pub use settings::Settings;
