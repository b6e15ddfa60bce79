//! `web`: the landing page, the install, the dashboard and the operator's commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use web::{WebSettings, cli};

#[global_allocator]
static GLOBAL_ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the landing page, the install and the dashboard on port 8000 (WEB_PORT, else PORT).
///
/// All settings are environment variables. A file .env.web in the working directory is read too.
#[derive(Parser)]
#[command(version)]
struct WebCli {
    #[command(subcommand)]
    command: Option<WebCommand>,
}

#[derive(Subcommand)]
enum WebCommand {
    /// Upgrade the database schema to this version (DATABASE_DIRECT_URL, else DATABASE_URL)
    Migrate(cli::MigrateOptions),
    /// Check that the `web` on this machine is alive (WEB_PORT, else PORT)
    Health,
    /// Print the Slack app manifest for this deployment (SLACK_REDIRECT_URI)
    Manifest,
    /// Check the whole set-up, from variables to backups, and report problems
    Doctor(cli::doctor::DoctorOptions),
    /// Estimate the resources and the cost of a deployment: replicas, CPU, connections, disk
    Plan(cli::plan::PlanOptions),
    /// Manage workspaces
    #[command(subcommand)]
    Tenants(cli::tenants::TenantsCommand),
    /// Keep and replay deletions, for restores of older backups
    #[command(subcommand)]
    Tombstones(cli::tombstones::TombstonesCommand),
    /// Manage access of external people to channels
    #[command(subcommand)]
    Channels(cli::channels::ChannelsCommand),
    /// Inspect and retry Slack events: "why no reply?"
    #[command(subcommand)]
    Events(cli::events::EventsCommand),
    /// Manage encryption keys
    #[command(subcommand)]
    Keys(cli::keys::KeysCommand),
    /// Verify and archive the audit log
    #[command(subcommand)]
    Audit(cli::audit::AuditCommand),
}

fn main() -> ExitCode {
    match WebCli::parse().command {
        None => service::run("web", WebSettings::read(), web::serve),
        Some(WebCommand::Migrate(options)) => cli::migrate(&options),
        Some(WebCommand::Health) => service::run_healthcheck(WebSettings::read_port()),
        Some(WebCommand::Manifest) => cli::print_manifest(),
        Some(WebCommand::Doctor(options)) => cli::doctor::run(&options),
        Some(WebCommand::Plan(options)) => cli::plan::run(&options),
        Some(WebCommand::Tenants(command)) => cli::tenants::run(command),
        Some(WebCommand::Tombstones(command)) => cli::tombstones::run(command),
        Some(WebCommand::Channels(command)) => cli::channels::run(command),
        Some(WebCommand::Events(command)) => cli::events::run(command),
        Some(WebCommand::Keys(command)) => cli::keys::run(command),
        Some(WebCommand::Audit(command)) => cli::audit::run(command),
    }
}
