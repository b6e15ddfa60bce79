//! `cargo xtask bench`: how fast it is, as ratios within one run, since a number alone says more of the machine.

mod ack;
mod bare;
mod claim;
pub mod cost;
mod crypto;
mod day;
mod envelopes;
mod fair;
mod load;
pub mod measured;
mod memory;
mod overview;
mod pgbench;
mod reply;
mod scale;
pub mod simulate;
mod start;
mod town;

use anyhow::Result;
use measured::Figure;

use crate::binaries::Binaries;
use crate::workspace;

/// What `cargo xtask bench` can be told.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Only this one.
    #[arg(value_enum)]
    only: Option<Benchmark>,
    /// Put the figures by which `web plan` counts into its file, in place of older ones.
    #[arg(long)]
    record: bool,
    /// How the simulation is set up.
    #[command(flatten)]
    simulation: simulate::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Benchmark {
    /// Acknowledged, and so committed, events beside pgbench's inserts and a bare axum handler.
    Ack,
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

type Run = fn(&Binaries) -> Result<Vec<Figure>>;

/// In the order in which they run.
const ALL: [(Benchmark, Run); 11] = [
    (Benchmark::Start, start::run),
    (Benchmark::Ack, ack::run),
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
pub fn run(options: &Options) -> Result<()> {
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
    let wanted = ALL.iter().filter(|(one, _)| options.only.is_none_or(|only| only == *one));
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
    if options.record { measured::record(&figures) } else { Ok(()) }
}

/// The value below which this share of the sorted values lies.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&sorted, 0.5), percentile(&sorted, 0.99), percentile(&sorted, 1.0)),
            (50, 99, 100)
        );
        assert_eq!(percentile::<u64>(&[], 0.5), 0);
    }
}
