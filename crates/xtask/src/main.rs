//! `cargo dev` and `cargo xtask …`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, chaos, dev, images, sqlx_prepare, test};

/// The commands of this checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: XtaskCommand,
}

#[derive(Subcommand)]
enum XtaskCommand {
    /// Run everything on this machine, as far as possible without real credentials.
    Dev(dev::DevOptions),
    /// Run everything that CI runs, or only some tests; install what they need.
    Test(test::TestOptions),
    /// Measure, as ratios within one run.
    Bench(bench::BenchOptions),
    /// Kill, stop and cut off parts of it at random under load, and look whether a reply was lost or doubled.
    Chaos(chaos::ChaosOptions),
    /// Build both images without a daemon, run them, and say how large they are.
    Images,
    /// Renew `.sqlx`, against which the queries are checked.
    Prepare(sqlx_prepare::PrepareOptions),
}

fn main() -> ExitCode {
    let end = match Cli::parse().command {
        XtaskCommand::Dev(options) => dev::run(&options),
        XtaskCommand::Test(options) => test::run(&options),
        XtaskCommand::Bench(options) => bench::run(&options),
        XtaskCommand::Chaos(options) => chaos::run(&options),
        XtaskCommand::Images => images::run(),
        XtaskCommand::Prepare(options) => sqlx_prepare::run(&options),
    };
    if let Err(error) = end {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
