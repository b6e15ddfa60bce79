//! `web`: the landing page, the install, and the operator's commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use web::{WebSettings, commands, doctor, plan};

#[global_allocator]
static GLOBAL_ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the landing page and the install on port 8000 (WEB_PORT, else PORT).
///
/// All settings are environment variables; a file .env.web in the working directory is read too.
#[derive(Parser)]
#[command(version)]
struct WebCli {
    #[command(subcommand)]
    command: Option<WebCommand>,
}

#[derive(Subcommand)]
enum WebCommand {
    /// Bring the database's schema up to this binary (DATABASE_DIRECT_URL, else DATABASE_URL)
    Migrate,
    /// Ask the `web` of this machine whether it lives (WEB_PORT, else PORT)
    Health,
    /// Print the Slack app manifest of this deployment (SLACK_REDIRECT_URI)
    Manifest,
    /// Look at the whole set-up, from the variables to the backups, and name all that is wrong with it
    Doctor(doctor::DoctorOptions),
    /// Count what a deployment of a size takes and costs: replicas, cores, connections, disk
    Plan(plan::PlanOptions),
    /// Who uses the bot, and what is set for them
    #[command(subcommand)]
    Tenants(commands::tenants::TenantsCommand),
    /// What became of what Slack sent: "why no reply?"
    #[command(subcommand)]
    Events(commands::events::EventsCommand),
    /// The keys to what is stored: which there are, and their replacement
    #[command(subcommand)]
    Keys(commands::keys::KeysCommand),
    /// What was done, and whether that log is as it was written
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
}

fn main() -> ExitCode {
    match WebCli::parse().command {
        None => service::run("web", WebSettings::read(), web::serve),
        Some(WebCommand::Migrate) => commands::migrate(),
        Some(WebCommand::Health) => service::run_healthcheck(WebSettings::read_port()),
        Some(WebCommand::Manifest) => commands::print_manifest(),
        Some(WebCommand::Doctor(options)) => doctor::run(&options),
        Some(WebCommand::Plan(options)) => plan::run(&options),
        Some(WebCommand::Tenants(command)) => commands::tenants::run(command),
        Some(WebCommand::Events(command)) => commands::events::run(command),
        Some(WebCommand::Keys(command)) => commands::keys::run(command),
        Some(WebCommand::Audit(command)) => commands::audit::run(command),
    }
}
