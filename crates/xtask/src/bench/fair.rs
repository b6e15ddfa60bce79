//! A tenant's first answer while another tenant has a thousand events waiting, beside its first answer when nothing
//! waits.

use std::time::Duration;

use anyhow::{Context, Result};

use super::measured::Figure;
use super::percentile;
use super::town::Town;
use crate::binaries::Binaries;
use crate::progress::step;

const WAITING: usize = 1_000;
const QUESTIONS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(180);
const LIMIT_S: f64 = 1.0;

pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    let town = Town::build(binaries)?;
    let _api = town.api(&[])?;
    town.set_model(Duration::from_millis(300), Duration::from_millis(50), 30);
    let alone = step("on an empty queue", || measure(&town, 0))?;
    let behind = step("behind another tenant's thousand", || {
        for number in 0..WAITING {
            town.ask_of_team(0, QUESTIONS + number)?;
        }
        // All of them are stored before the other asks.
        while stored(&town)? < WAITING + QUESTIONS {
            std::thread::sleep(Duration::from_millis(50));
        }
        measure(&town, QUESTIONS + WAITING)
    })?;
    println!("\nwhen                               median s      max s");
    for (name, seconds) in [("on an empty queue", &alone), ("behind another's 1,000 events", &behind)] {
        println!("{name:31} {:11.2} {:10.2}", percentile(seconds, 0.5), percentile(seconds, 1.0));
    }
    let [median, max] = [0.5, 1.0].map(|share| percentile(&behind, share) - percentile(&alone, share));
    println!("the difference                  {median:11.2} {max:10.2}   limit {LIMIT_S:.2}");
    println!("\nFrom a message to the first word of its answer, of which the model takes 0.30 s.");
    Ok(Vec::new())
}

fn stored(town: &Town) -> Result<usize> {
    Ok(town.stack.ask("select count(*) from events where kind = 'message'")?.parse()?)
}

/// The seconds until the first word of each answer, sorted.
fn measure(town: &Town, first: usize) -> Result<Vec<f64>> {
    let mut asked = Vec::new();
    for number in 0..QUESTIONS {
        asked.push(town.ask_of_team(1, first + number)?);
        std::thread::sleep(BETWEEN);
    }
    town.wait_until_done(PATIENCE)?;
    let calls = town.simulator.calls();
    let took = asked.iter().map(|ts| {
        let starts = calls.iter().filter(|call| call.method == "chat.startStream");
        let start = starts.clone().find(|call| call.args["thread_ts"] == *ts.as_str());
        let came = start.context("an answer was not seen")?.came_at.timestamp_micros();
        // A `ts` is the time of its message.
        Ok(came as f64 / 1e6 - ts.parse::<f64>()?)
    });
    let mut took = took.collect::<Result<Vec<f64>>>()?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}
