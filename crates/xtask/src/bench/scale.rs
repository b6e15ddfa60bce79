//! Replies a second with one, two and four replicas of `api`, each with few slots, so that it is those that are short.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::measured::Figure;
use super::town::Town;
use crate::binaries::Binaries;
use crate::cluster::free_port;
use crate::progress::step;

const REPLICAS: [usize; 3] = [1, 2, 4];
const SLOTS: usize = 16;
/// So many times each slot is filled.
const TURNS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    let town = Town::build(binaries)?;
    drop(town.api(&[])?);
    town.set_model(Duration::from_millis(300), Duration::from_millis(70), 10);
    let mut rows = Vec::new();
    let mut number = 0;
    for count in REPLICAS {
        let replies = count * SLOTS * TURNS;
        let rate = step(&format!("{count} replicas"), || measure(&town, count, number, replies))?;
        rows.push((count, rate));
        number += replies;
    }
    println!("\nreplicas  replies/s  to one replica");
    for (count, rate) in &rows {
        let ratio = rate / rows.first().map_or(1.0, |(_, one)| *one);
        println!("{count:8} {rate:10.1} {ratio:14.2}x");
    }
    println!("\nEach replica has {SLOTS} slots; the model takes a second. All share this machine.");
    let name = |count: usize| match count * SLOTS {
        16 => "replies_by_16_slots",
        32 => "replies_by_32_slots",
        _ => "replies_by_64_slots",
    };
    Ok(rows.iter().map(|(count, rate)| Figure::new(name(*count), *rate)).collect())
}

/// All is asked at first, and balanced over the replicas; the clock runs until the last answer is committed.
fn measure(town: &Town, count: usize, first: usize, replies: usize) -> Result<f64> {
    let slots = SLOTS.to_string();
    let own = [("MAX_CONCURRENT_REPLIES", slots.as_str())];
    let replicas = (0..count).map(|_| town.replica(free_port()?, &own)).collect::<Result<Vec<_>>>()?;
    let urls = replicas.iter().map(|api| format!("{}/slack/events", api.url()));
    town.simulator.set_events_urls(urls.collect());
    let began = Instant::now();
    for number in first..first + replies {
        town.ask(number)?;
    }
    town.wait_until_done(PATIENCE)?;
    Ok(replies as f64 / began.elapsed().as_secs_f64())
}
