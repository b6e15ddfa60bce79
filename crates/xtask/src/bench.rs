//! `cargo xtask bench`: benchmarks as ratios within one run, because an absolute number mostly measures the
//! machine.

mod ack;
mod audit;
mod baseline_axum;
mod claim;
pub mod cost;
mod crypto;
mod day;
mod fair;
mod fixture;
mod load;
mod memory;
mod overview;
mod payloads;
mod pgbench;
mod reply;
pub mod results;
mod scale;
pub mod simulate;
mod start;

use anyhow::Result;
use results::BenchResult;

use crate::binaries::Binaries;
use crate::workspace;

/// Options of `cargo xtask bench`.
#[derive(Debug, Default, clap::Args)]
pub struct BenchOptions {
    /// Run only this benchmark.
    #[arg(value_enum)]
    only: Option<Benchmark>,
    /// Record the figures that `web plan` uses, replacing older ones.
    #[arg(long)]
    record: bool,
    /// Options of the simulation.
    #[command(flatten)]
    simulation: simulate::SimulationOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Benchmark {
    /// Acknowledged and committed events per second, compared with pgbench inserts and a bare axum handler.
    Ack,
    /// A change with its audit log entry, compared with the same without the hash chain.
    Audit,
    /// Size of the queue's tables over a day.
    Day,
    /// A claim with ten to a million waiting events, and moving events into the queue, with up to 100,000
    /// tenants.
    Claim,
    /// Processor time and bytes per reply.
    Cost,
    /// Sealing and opening, compared with openssl's AES-256-GCM.
    Crypto,
    /// A tenant's first reply while another tenant has a thousand events waiting.
    Fair,
    /// Memory of `api` when idle, with 1,000 streaming replies, and over a churn.
    Memory,
    /// The dashboard's overview for 500 people at once, compared with the front page.
    Overview,
    /// The time that the service adds to the model's and Slack's.
    Reply,
    /// Replies per second with one, two and four replicas.
    Scale,
    /// Simulated days of 100 to 100,000 workspaces: waiting times and the replicas they need.
    Simulate,
    /// Start-up time and memory of an idle service.
    Start,
}

type BenchmarkRun = fn(&Binaries) -> Result<Vec<BenchResult>>;

/// All benchmarks in the order in which they run.
const BENCHMARKS: [(Benchmark, BenchmarkRun); 12] = [
    (Benchmark::Start, start::run),
    (Benchmark::Ack, ack::run),
    (Benchmark::Audit, audit::run),
    (Benchmark::Claim, claim::run),
    (Benchmark::Cost, cost::run),
    (Benchmark::Crypto, crypto::run),
    (Benchmark::Reply, reply::run),
    (Benchmark::Fair, fair::run),
    (Benchmark::Scale, scale::run),
    (Benchmark::Overview, overview::run),
    (Benchmark::Memory, memory::run),
    (Benchmark::Day, day::run),
];

/// Runs one benchmark or all.
pub fn run(options: &BenchOptions) -> Result<()> {
    // The load generator shares the machine with the service; unoptimized, it would take most of it.
    if cfg!(debug_assertions) {
        let arguments = std::env::args_os().skip(1);
        return workspace::run(
            workspace::cargo(&["run", "--release", "--package", "xtask", "--"]).args(arguments),
        );
    }
    if matches!(options.only, None | Some(Benchmark::Simulate)) {
        simulate::run(&options.simulation)?;
    }
    let wanted = BENCHMARKS.iter().filter(|(one, _)| options.only.is_none_or(|only| only == *one));
    let wanted: Vec<_> = wanted.collect();
    // A simulation runs none of the programs.
    if wanted.is_empty() {
        return Ok(());
    }
    let binaries = Binaries::build(true)?;
    let mut figures = Vec::new();
    for (_, run) in wanted {
        figures.extend(run(&binaries)?);
    }
    if options.record { results::record(&figures) } else { Ok(()) }
}
