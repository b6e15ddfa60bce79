//! `web`: the landing page, the install, and the operator's commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use web::{Settings, commands, doctor, plan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the landing page and the install on port 8000 (WEB_PORT, else PORT).
///
/// All settings are environment variables; a file .env.web in the working directory is read too.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the database's schema up to this binary (DATABASE_DIRECT_URL, else DATABASE_URL)
    Migrate,
    /// Print the Slack app manifest of this deployment (SLACK_REDIRECT_URI)
    Manifest,
    /// Look at the whole set-up, from the variables to the backups, and name all that is wrong with it
    Doctor(doctor::Options),
    /// Count what a deployment of a size takes and costs: replicas, cores, connections, disk
    Plan(plan::Options),
    /// Who uses the bot, and what is set for them
    #[command(subcommand)]
    Tenants(commands::tenants::Command),
    /// What became of what Slack sent: "why no reply?"
    #[command(subcommand)]
    Events(commands::events::Command),
    /// The keys to what is stored: which there are, and their replacement
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// What was done, and whether that log is as it was written
    #[command(subcommand)]
    Audit(commands::audit::Command),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        None => service::run("web", Settings::read(), web::serve),
        Some(Command::Migrate) => commands::migrate(),
        Some(Command::Manifest) => commands::manifest(),
        Some(Command::Doctor(options)) => doctor::run(&options),
        Some(Command::Plan(options)) => plan::run(&options),
        Some(Command::Tenants(command)) => commands::tenants::run(command),
        Some(Command::Events(command)) => commands::events::run(command),
        Some(Command::Keys(command)) => commands::keys::run(command),
        Some(Command::Audit(command)) => commands::audit::run(command),
    }
}
