//! `api`: receives what Slack sends, and answers it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receives Slack's events, interactions and commands on port 8001 (API_PORT, else PORT), and answers them.
///
/// All settings are environment variables; a file .env.api in the working directory is read too.
#[derive(Parser)]
#[command(version)]
struct ApiArgs {
    #[command(subcommand)]
    command: Option<ApiCommand>,
}

#[derive(Subcommand)]
enum ApiCommand {
    /// Ask the `api` of this machine whether it lives (API_PORT, else PORT)
    Health,
    /// Only look at the variables: a line on stderr for each that is missing or malformed, and 1 where there is one
    Check,
}

fn main() -> ExitCode {
    match ApiArgs::parse().command {
        None => service::run("api", api::ApiSettings::read(), api::serve),
        Some(ApiCommand::Health) => service::run_healthcheck(api::ApiSettings::read_port()),
        Some(ApiCommand::Check) => check_settings(),
    }
}

#[expect(clippy::print_stderr, reason = "a person at a terminal, or `web doctor`, reads this")]
fn check_settings() -> ExitCode {
    match api::ApiSettings::read() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
