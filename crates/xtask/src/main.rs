//! `cargo dev` and `cargo xtask …`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, chaos, dev, images, prepare, test};

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
    /// Run all that CI runs, and install what it needs.
    Test,
    /// Measure, as ratios within one run.
    Bench(bench::Options),
    /// Kill, stop and cut off parts of it at random under load, and look whether a reply was lost or doubled.
    Chaos(chaos::Options),
    /// Build both images without a daemon, run them, and say how large they are.
    Images,
    /// Renew `.sqlx`, against which the queries are checked.
    Prepare(prepare::Options),
}

fn main() -> ExitCode {
    let end = match Cli::parse().command {
        Command::Dev(options) => dev::run(&options),
        Command::Test => test::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Images => images::run(),
        Command::Prepare(options) => prepare::run(&options),
    };
    if let Err(error) = end {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
