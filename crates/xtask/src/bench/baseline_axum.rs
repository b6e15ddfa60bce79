//! The bare axum handler of `crates/api/examples/bare.rs`, run as a process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::cluster::free_port;
use crate::progress::step;
use crate::service::{Service, ServiceSpec, Variables};
use crate::settings::SIGNING_SECRET;
use crate::workspace;

/// Builds the handler and waits until it serves.
pub(super) fn start() -> Result<Service> {
    let build = ["build", "--quiet", "--release", "--package", "api", "--example", "bare"];
    step("building the bare axum handler", || workspace::output(&mut workspace::cargo(&build)))?;
    let program = workspace::target().join("release/examples/bare");
    let port = free_port()?;
    let (arguments, show) = (vec![port.to_string(), SIGNING_SECRET.to_owned()], Arc::new(|_: &str| ()));
    let start = ServiceSpec {
        name: "bare",
        program: &program,
        arguments,
        variables: Variables::new(),
        port,
        log_sink: show,
    };
    let mut service = Service::start(start)?;
    service.wait_until_ready("/health/ready", Duration::from_secs(10))?;
    Ok(service)
}
