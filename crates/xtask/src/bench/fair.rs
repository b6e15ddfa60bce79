//! A tenant's first reply while another tenant has a thousand events waiting, compared with its first reply
//! when nothing waits.

use std::time::Duration;

use anyhow::{Context, Result};

use super::fixture::BenchFixture;
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::statistics::percentile;

const WAITING_EVENTS: usize = 1_000;
const MEASURED_MESSAGES: usize = 5;
const MESSAGE_INTERVAL: Duration = Duration::from_millis(500);
const FAIRNESS_RUN_TIMEOUT: Duration = Duration::from_secs(180);
const MAX_ADDED_SECONDS: f64 = 1.0;

pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let fixture = BenchFixture::build(binaries)?;
    let _api = fixture.api(&[])?;
    fixture.set_model(Duration::from_millis(300), Duration::from_millis(50), 30);
    let alone = step("on an empty queue", || first_word_seconds(&fixture, 0))?;
    let behind = step("behind another tenant's thousand", || {
        for number in 0..WAITING_EVENTS {
            fixture.send_to_team(0, MEASURED_MESSAGES + number)?;
        }
        // All of them are stored before the second tenant asks.
        while count_stored(&fixture)? < WAITING_EVENTS + MEASURED_MESSAGES {
            std::thread::sleep(Duration::from_millis(50));
        }
        first_word_seconds(&fixture, MEASURED_MESSAGES + WAITING_EVENTS)
    })?;
    println!("\nwhen                               median s      max s");
    for (name, seconds) in [("on an empty queue", &alone), ("behind another's 1,000 events", &behind)] {
        println!("{name:31} {:11.2} {:10.2}", percentile(seconds, 0.5), percentile(seconds, 1.0));
    }
    let [median, max] = [0.5, 1.0].map(|share| percentile(&behind, share) - percentile(&alone, share));
    println!("the difference                  {median:11.2} {max:10.2}   limit {MAX_ADDED_SECONDS:.2}");
    println!("\nFrom a message to the first word of its reply, of which the model takes 0.30 s.");
    Ok(Vec::new())
}

fn count_stored(fixture: &BenchFixture) -> Result<usize> {
    Ok(fixture.stack.query("select count(*) from events where kind = 'message'")?.parse()?)
}

/// Returns the sorted seconds until the first word of each reply.
fn first_word_seconds(fixture: &BenchFixture, first: usize) -> Result<Vec<f64>> {
    let mut asked = Vec::new();
    for number in 0..MEASURED_MESSAGES {
        asked.push(fixture.send_to_team(1, first + number)?);
        std::thread::sleep(MESSAGE_INTERVAL);
    }
    fixture.wait_until_drained(FAIRNESS_RUN_TIMEOUT)?;
    let calls = fixture.simulator.calls();
    let took = asked.iter().map(|ts| {
        let starts = calls.iter().filter(|call| call.method == "chat.startStream");
        let start = starts.clone().find(|call| call.args["thread_ts"] == *ts.as_str());
        let came = start.context("a reply did not start")?.received_at.timestamp_micros();
        // A `ts` is the time of its message.
        Ok(came as f64 / 1e6 - ts.parse::<f64>()?)
    });
    let mut took = took.collect::<Result<Vec<f64>>>()?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}
