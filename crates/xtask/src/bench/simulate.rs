//! Simulated days of many workspaces: the real queue's order, shares and leases, without the real programs.
//! The simulation yields waiting times and the number of replicas; `bench cost` measures their processor
//! time.

mod queue;
mod workload;

use anyhow::{Result, bail};

use super::results::read_recorded;
pub use queue::{SimulatedFleet, SimulationResult};
pub use workload::SimulatedDay;

/// The numbers of workspaces that are simulated.
const WORKSPACE_COUNTS: [u32; 4] = [100, 1_000, 10_000, 100_000];

/// The 99th percentile of the wait for the first word, also while a replica is lost.
const MAX_P99_WAIT_SECONDS: f64 = 1.0;

/// The allowed difference between simulation and measurement.
const MAX_SIMULATION_ERROR: f64 = 0.2;

/// Slots of a replica in `bench scale`, replies per slot, and seconds of a reply of its model.
const SCALE_BENCH_SLOTS: u32 = 16;
const SCALE_BENCH_REPLIES_PER_SLOT: u32 = 10;
const SCALE_BENCH_REPLY_SECONDS: f64 = 1.0;

/// Options of the simulation.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SimulationOptions {
    /// simulate: the same seed gives the same day.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// simulate: mean messages per workspace and day; few workspaces have many.
    #[arg(long, default_value_t = 20.0)]
    pub messages_per_day: f64,
    /// simulate: ratio of the busiest moment to the day's mean.
    #[arg(long, default_value_t = 5.0)]
    pub peak: f64,
    /// simulate: mean seconds of a reply.
    #[arg(long, default_value_t = 8.0)]
    pub answer_seconds: f64,
    /// simulate: MAX_CONCURRENT_REPLIES.
    #[arg(long, default_value_t = 256)]
    pub slots: u32,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self { seed: 1, messages_per_day: 20.0, peak: 5.0, answer_seconds: 8.0, slots: 256 }
    }
}

pub(super) fn run(options: &SimulationOptions) -> Result<()> {
    println!(
        "\nworkspaces   messages  replicas  wait p50 s   p99 s   max s  busy slots  of those there  replies/s"
    );
    for workspaces in WORKSPACE_COUNTS {
        let (fleet, outcome) = size_fleet(options, workspaces)?;
        let waits = [0.5, 0.99, 1.0].map(|share| outcome.wait_percentile(share));
        println!(
            "{workspaces:10} {:10} {:9} {:11.3} {:7.3} {:7.2} {:11.0} {:14.0}% {:10.1}",
            outcome.answered,
            fleet.replicas,
            waits[0],
            waits[1],
            waits[2],
            outcome.busiest_slots,
            100.0 * outcome.busiest_slots / f64::from(fleet.replicas * fleet.slots),
            outcome.busiest_slots / options.answer_seconds,
        );
    }
    println!(
        "\nReplicas: the fewest with which 99 of 100 replies begin within {MAX_P99_WAIT_SECONDS} s, with one lost for {} s at the peak.",
        queue::REPLICA_OUTAGE / queue::MICROS_PER_SECOND
    );
    println!(
        "Busy slots and replies/s: in the busiest quarter of an hour.\n\nslots   measured/s   simulated/s    ratio"
    );
    for (replicas, measured, simulated) in compare_with_measured()? {
        let ratio = simulated / measured;
        println!("{:5} {measured:12.1} {simulated:13.1} {ratio:8.2}", replicas * SCALE_BENCH_SLOTS);
        if (ratio - 1.0).abs() > MAX_SIMULATION_ERROR {
            bail!("the simulation differs from the measurement of `cargo xtask bench scale`");
        }
    }
    Ok(())
}

/// Returns the smallest number of replicas that keeps waiting within the limit, and the result of its day.
/// Fails if the options are invalid.
pub fn size_fleet(
    options: &SimulationOptions,
    workspaces: u32,
) -> Result<(SimulatedFleet, SimulationResult)> {
    let day = SimulatedDay::generate(options, workspaces)?;
    // At least two, since one may be lost.
    for replicas in 2..=10_000 {
        let fleet = SimulatedFleet { replicas, slots: options.slots, has_replica_loss: true };
        // The remaining replicas must have enough slots for the peak.
        if f64::from((replicas - 1) * options.slots) < day.busy_at_peak() {
            continue;
        }
        let outcome = fleet.simulate(&day);
        if outcome.wait_percentile(0.99) <= MAX_P99_WAIT_SECONDS {
            return Ok((fleet, outcome));
        }
    }
    bail!("no number of replicas is enough; raise --slots")
}

/// Compares with `bench scale`: returns each number of replicas with the measured and the simulated replies
/// per second. Fails if a figure is not recorded.
pub fn compare_with_measured() -> Result<Vec<(u32, f64, f64)>> {
    let measured = [(1, "replies_by_16_slots"), (2, "replies_by_32_slots"), (4, "replies_by_64_slots")];
    let row = |(replicas, name)| {
        let fleet = SimulatedFleet { replicas, slots: SCALE_BENCH_SLOTS, has_replica_loss: false };
        let count = replicas * SCALE_BENCH_SLOTS * SCALE_BENCH_REPLIES_PER_SLOT;
        let outcome = fleet.simulate(&SimulatedDay::burst(
            count,
            super::fixture::FIXTURE_TEAMS as u32,
            SCALE_BENCH_REPLY_SECONDS,
        ));
        Ok((replicas, read_recorded(name)?, f64::from(count) / outcome.seconds))
    };
    measured.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small_options() -> SimulationOptions {
        SimulationOptions { slots: 4, messages_per_day: 40.0, ..SimulationOptions::default() }
    }

    #[test]
    fn seed_determines_simulated_day() {
        let waits =
            |seed| size_fleet(&SimulationOptions { seed, ..small_options() }, 100).unwrap().1.wait_seconds;
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn simulation_matches_measured_throughput() {
        for (replicas, measured, simulated) in compare_with_measured().unwrap() {
            let ratio = simulated / measured;
            assert!(
                (ratio - 1.0).abs() < MAX_SIMULATION_ERROR,
                "{replicas} replicas: {simulated} for {measured}"
            );
        }
    }

    #[test]
    fn simulation_obeys_littles_law() {
        let options = small_options();
        let (fleet, outcome) = size_fleet(&options, 300).unwrap();
        let rate = outcome.answered as f64 / outcome.seconds;
        let error = outcome.mean_in_system / (rate * outcome.mean_time_in_system) - 1.0;
        assert!(error.abs() < 1e-6, "{error}");
        let expected = 300.0 * options.messages_per_day / 86_400.0 * options.answer_seconds;
        let busy = outcome.mean_busy_slots * outcome.seconds / 86_400.0;
        assert!((busy / expected - 1.0).abs() < 0.1, "{busy} slots in the mean, for {expected}");
        assert_eq!(outcome.answered, 12_000, "nothing is lost with a replica");
        assert!(fleet.replicas >= 3);
    }

    #[test]
    fn workspaces_raise_replicas() {
        let fleets = [50, 400, 800].map(|workspaces| size_fleet(&small_options(), workspaces).unwrap());
        for pair in fleets.windows(2) {
            assert!(pair[1].0.replicas > pair[0].0.replicas, "{:?}", pair[1].0);
        }
        assert!(fleets.iter().all(|(_, outcome)| outcome.wait_percentile(0.99) <= MAX_P99_WAIT_SECONDS));
    }

    #[test]
    fn busy_workspace_delays_no_other() {
        let mut day = SimulatedDay::burst(1_000, 1, 1.0);
        day.add_message(1, 1_000_000);
        let outcome = SimulatedFleet { replicas: 2, slots: 8, has_replica_loss: false }.simulate(&day);
        assert_eq!(outcome.answered, 1_001);
        let last = outcome.list_workspace_waits(1);
        assert!(last.iter().all(|wait| *wait <= 1.0), "{last:?}");
    }
}
