//! Days of many workspaces, simulated: the real queue's order, shares and leases, without the real programs. It tells how long
//! people wait and how many replicas that takes; what those cost in processors' time is measured by `bench cost`.

mod day;
mod queue;

use anyhow::{Result, bail};

use super::measured::recorded;
pub use day::Day;
pub use queue::{Fleet, Outcome};

/// The sizes of which a day is simulated.
const SIZES: [u32; 4] = [100, 1_000, 10_000, 100_000];

/// Longer than this nobody should wait for the begin of an answer, but one of a hundred, and while a replica is lost.
const BEARABLE: f64 = 1.0;

/// How far the simulation may be from what was measured.
const CLOSE: f64 = 0.2;

/// Slots of a replica in `bench scale`, how often each is filled there, and the seconds that its model takes.
const SLOTS_OF_SCALE: u32 = 16;
const TURNS_OF_SCALE: u32 = 10;
const ANSWER_OF_SCALE: f64 = 1.0;

/// How it is set up.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// simulate: the same seed gives the same day.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// simulate: messages a day of a workspace, in the mean; few have many.
    #[arg(long, default_value_t = 20.0)]
    pub messages_per_day: f64,
    /// simulate: how much the busiest moment is above the day's mean.
    #[arg(long, default_value_t = 5.0)]
    pub peak: f64,
    /// simulate: seconds of an answer, in the mean.
    #[arg(long, default_value_t = 8.0)]
    pub answer_seconds: f64,
    /// simulate: MAX_CONCURRENT_REPLIES.
    #[arg(long, default_value_t = 256)]
    pub slots: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, messages_per_day: 20.0, peak: 5.0, answer_seconds: 8.0, slots: 256 }
    }
}

pub(super) fn run(options: &Options) -> Result<()> {
    println!(
        "\nworkspaces   messages  replicas  wait p50 s   p99 s   max s  busy slots  of those there  replies/s"
    );
    for workspaces in SIZES {
        let (fleet, outcome) = find_fleet(options, workspaces)?;
        let waits = [0.5, 0.99, 1.0].map(|share| outcome.wait(share));
        println!(
            "{workspaces:10} {:10} {:9} {:11.3} {:7.3} {:7.2} {:11.0} {:14.0}% {:10.1}",
            outcome.answered,
            fleet.replicas,
            waits[0],
            waits[1],
            waits[2],
            outcome.busiest,
            100.0 * outcome.busiest / f64::from(fleet.replicas * fleet.slots),
            outcome.busiest / options.answer_seconds,
        );
    }
    println!(
        "\nReplicas: the fewest with which 99 of 100 begin within {BEARABLE} s, though one is lost for {} s when most is asked.",
        queue::AWAY / queue::SECOND
    );
    println!(
        "Busy slots and replies/s: in the busiest quarter of an hour.\n\nslots   measured/s   simulated/s    ratio"
    );
    for (replicas, measured, simulated) in compare()? {
        let ratio = simulated / measured;
        println!("{:5} {measured:12.1} {simulated:13.1} {ratio:8.2}", replicas * SLOTS_OF_SCALE);
        if (ratio - 1.0).abs() > CLOSE {
            bail!("the simulation is not like what `cargo xtask bench scale` measured");
        }
    }
    Ok(())
}

/// The fewest replicas with which waiting is bearable, and what the day was like with them.
///
/// # Errors
/// The options make no day.
pub fn find_fleet(options: &Options, workspaces: u32) -> Result<(Fleet, Outcome)> {
    let day = Day::draw(options, workspaces)?;
    // One can be lost, so there are two.
    for replicas in 2..=10_000 {
        let fleet = Fleet { replicas, slots: options.slots, loses_one: true };
        // Those that are left have to hold what is in work at once.
        if f64::from((replicas - 1) * options.slots) < day.busy_at_peak() {
            continue;
        }
        let outcome = fleet.serve(&day);
        if outcome.wait(0.99) <= BEARABLE {
            return Ok((fleet, outcome));
        }
    }
    bail!("no number of replicas is enough; raise --slots")
}

/// Replicas of `bench scale`, what it measured, and the same simulated: all is asked at first, and the last answer counts.
///
/// # Errors
/// A figure is not recorded.
pub fn compare() -> Result<Vec<(u32, f64, f64)>> {
    let measured = [(1, "replies_by_16_slots"), (2, "replies_by_32_slots"), (4, "replies_by_64_slots")];
    let row = |(replicas, name)| {
        let fleet = Fleet { replicas, slots: SLOTS_OF_SCALE, loses_one: false };
        let count = replicas * SLOTS_OF_SCALE * TURNS_OF_SCALE;
        let outcome = fleet.serve(&Day::at_once(count, super::town::TEAMS as u32, ANSWER_OF_SCALE));
        Ok((replicas, recorded(name)?, f64::from(count) / outcome.seconds))
    };
    measured.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Options {
        Options { slots: 4, messages_per_day: 40.0, ..Options::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_day_and_another_another() {
        let waits = |seed| find_fleet(&Options { seed, ..small() }, 100).unwrap().1.waits;
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn it_is_like_what_was_measured() {
        for (replicas, measured, simulated) in compare().unwrap() {
            let ratio = simulated / measured;
            assert!((ratio - 1.0).abs() < CLOSE, "{replicas} replicas: {simulated} for {measured}");
        }
    }

    #[test]
    fn littles_law_holds_of_all_that_is_in_it_and_of_its_slots() {
        let options = small();
        let (fleet, outcome) = find_fleet(&options, 300).unwrap();
        let rate = outcome.answered as f64 / outcome.seconds;
        let error = outcome.mean_inside / (rate * outcome.mean_stay) - 1.0;
        assert!(error.abs() < 1e-6, "{error}");
        let expected = 300.0 * options.messages_per_day / 86_400.0 * options.answer_seconds;
        let busy = outcome.mean_busy * outcome.seconds / 86_400.0;
        assert!((busy / expected - 1.0).abs() < 0.1, "{busy} slots in the mean, for {expected}");
        assert_eq!(outcome.answered, 12_000, "nothing is lost with a replica");
        assert!(fleet.replicas >= 3);
    }

    #[test]
    fn more_workspaces_take_more_replicas_and_none_waits_longer_for_it() {
        let fleets = [50, 400, 800].map(|workspaces| find_fleet(&small(), workspaces).unwrap());
        for pair in fleets.windows(2) {
            assert!(pair[1].0.replicas > pair[0].0.replicas, "{:?}", pair[1].0);
        }
        assert!(fleets.iter().all(|(_, outcome)| outcome.wait(0.99) <= BEARABLE));
    }

    #[test]
    fn a_workspace_with_a_thousand_waiting_delays_no_other() {
        let mut day = Day::at_once(1_000, 1, 1.0);
        day.ask(1, 1_000_000);
        let outcome = Fleet { replicas: 2, slots: 8, loses_one: false }.serve(&day);
        assert_eq!(outcome.answered, 1_001);
        let last = outcome.waits_by_workspace(1);
        assert!(last.iter().all(|wait| *wait <= 1.0), "{last:?}");
    }
}
