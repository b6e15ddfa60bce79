//! `api`: receives what Slack sends, and answers it.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receives Slack's events, interactions and commands on port 8001 (API_PORT, else PORT), and answers them.
///
/// All settings are environment variables; a file .env.api in the working directory is read too.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

fn main() -> ExitCode {
    Arguments::parse();
    service::run("api", api::Settings::read(), api::serve)
}
