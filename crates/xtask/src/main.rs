//! `cargo dev` and `cargo xtask …`.

use clap::{Parser, Subcommand};
use xtask::{dev, prepare};

/// The commands of this checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine, as far as possible without real credentials.
    Dev(dev::Options),
    /// Renew `.sqlx`, against which the queries are checked.
    Prepare(prepare::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Dev(options) => dev::run(&options),
        Command::Prepare(options) => prepare::run(&options),
    }
}
