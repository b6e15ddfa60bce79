//! `cargo xtask bench`: how fast it is, as ratios within one run, since a number alone says more of the machine.

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

/// What `cargo xtask bench` can be told.
#[derive(Debug, Default, clap::Args)]
pub struct BenchOptions {
    /// Only this one.
    #[arg(value_enum)]
    only: Option<Benchmark>,
    /// Put the figures by which `web plan` counts into its file, in place of older ones.
    #[arg(long)]
    record: bool,
    /// How the simulation is set up.
    #[command(flatten)]
    simulation: simulate::SimulationOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Benchmark {
    /// Acknowledged, and so committed, events beside pgbench's inserts and a bare axum handler.
    Ack,
    /// A change and its entry in the audit log's chain, beside the same without the chain.
    Audit,
    /// Whether the queue's tables keep their size over a day.
    Day,
    /// A claim with ten to a million waiting events, and sorting, with up to 100,000 tenants.
    Claim,
    /// Processors' time and bytes that a reply takes.
    Cost,
    /// Sealing and opening beside openssl's AES-256-GCM.
    Crypto,
    /// A tenant's first answer behind another's thousand events.
    Fair,
    /// What `api` holds when idle, at 1,000 streaming replies, and over a churn.
    Memory,
    /// The dashboard's overview for 500 people at once, beside the front page.
    Overview,
    /// What the service adds to the model's and Slack's own time.
    Reply,
    /// Replies a second with one, two and four replicas.
    Scale,
    /// Days of 100 to 100,000 workspaces, simulated: waits, and the replicas that are needed.
    Simulate,
    /// The time until ready, and the memory of an idle service.
    Start,
}

type BenchmarkRun = fn(&Binaries) -> Result<Vec<BenchResult>>;

/// In the order in which they run.
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
    // The generator shares the machine with what it measures: unoptimized, it would take most of it.
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
    // A simulation measures none of the programs.
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

/// The value below which this share of the sorted values lies.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], quantile: f64) -> T {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_one_of_the_samples() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&sorted, 0.5), percentile(&sorted, 0.99), percentile(&sorted, 1.0)),
            (50, 99, 100)
        );
        assert_eq!(percentile::<u64>(&[], 0.5), 0);
    }
}
