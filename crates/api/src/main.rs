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
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the `api` of this machine whether it lives (API_PORT, else PORT)
    Health,
    /// Only look at the variables: a line on stderr for each that is missing or malformed, and 1 where there is one
    Check,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        None => service::run("api", api::Settings::read(), api::serve),
        Some(Command::Health) => service::health(api::Settings::read_port()),
        Some(Command::Check) => check(),
    }
}

#[expect(clippy::print_stderr, reason = "a person at a terminal, or `web doctor`, reads this")]
fn check() -> ExitCode {
    match api::Settings::read() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
