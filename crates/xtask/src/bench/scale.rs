//! Replies per second with one, two and four replicas of `api`. Each has few slots, so that slots are the
//! limit.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::fixture::BenchFixture;
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::cluster::free_port;
use crate::progress::step;

const SCALE_REPLICAS: [usize; 3] = [1, 2, 4];
const SLOTS_PER_REPLICA: usize = 16;
/// Replies per slot.
const REPLIES_PER_SLOT: usize = 10;
const SCALE_RUN_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let fixture = BenchFixture::build(binaries)?;
    drop(fixture.api(&[])?);
    fixture.set_model(Duration::from_millis(300), Duration::from_millis(70), 10);
    let mut rows = Vec::new();
    let mut number = 0;
    for count in SCALE_REPLICAS {
        let replies = count * SLOTS_PER_REPLICA * REPLIES_PER_SLOT;
        let rate =
            step(&format!("{count} replicas"), || replies_per_second(&fixture, count, number, replies))?;
        rows.push((count, rate));
        number += replies;
    }
    println!("\nreplicas  replies/s  to one replica");
    for (count, rate) in &rows {
        let ratio = rate / rows.first().map_or(1.0, |(_, one)| *one);
        println!("{count:8} {rate:10.1} {ratio:14.2}x");
    }
    println!(
        "\nEach replica has {SLOTS_PER_REPLICA} slots; the model takes a second. All share this machine."
    );
    let name = |count: usize| match count * SLOTS_PER_REPLICA {
        16 => "replies_by_16_slots",
        32 => "replies_by_32_slots",
        _ => "replies_by_64_slots",
    };
    Ok(rows.iter().map(|(count, rate)| BenchResult::new(name(*count), *rate)).collect())
}

/// Sends all messages first, balanced over the replicas. The clock stops when the last reply is committed.
fn replies_per_second(fixture: &BenchFixture, count: usize, first: usize, replies: usize) -> Result<f64> {
    let slots = SLOTS_PER_REPLICA.to_string();
    let own = [("MAX_CONCURRENT_REPLIES", slots.as_str())];
    let replicas = (0..count).map(|_| fixture.replica(free_port()?, &own)).collect::<Result<Vec<_>>>()?;
    let urls = replicas.iter().map(|api| format!("{}/slack/events", api.url()));
    fixture.simulator.set_events_urls(urls.collect());
    let began = Instant::now();
    for number in first..first + replies {
        fixture.send_message(number)?;
    }
    fixture.wait_until_drained(SCALE_RUN_TIMEOUT)?;
    Ok(replies as f64 / began.elapsed().as_secs_f64())
}
