//! The service `api`: receives Slack's events and replies to them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Receives Slack's events, interactions and commands on port 8001 (API_PORT, otherwise PORT), and replies to
/// them
///
/// All settings are environment variables. A file .env.api in the working directory is read too.
#[derive(Parser)]
#[command(version)]
struct ApiArgs {
    #[command(subcommand)]
    command: Option<ApiCommand>,
}

#[derive(Subcommand)]
enum ApiCommand {
    /// Check whether `api` is running on this machine (API_PORT, otherwise PORT)
    Health,
    /// Check the variables and exit: one line on stderr for each that is missing or malformed, exit code 1 if
    /// any is
    Check,
}

fn main() -> ExitCode {
    match ApiArgs::parse().command {
        None => service::run("api", api::ApiSettings::read(), api::serve),
        Some(ApiCommand::Health) => service::run_healthcheck(api::ApiSettings::read_port()),
        Some(ApiCommand::Check) => check_settings(),
    }
}

#[expect(clippy::print_stderr, reason = "read by a person at a terminal, or by `web doctor`")]
fn check_settings() -> ExitCode {
    match api::ApiSettings::read() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
