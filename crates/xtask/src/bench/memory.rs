//! What `api` holds: idle, at 1,000 streaming replies, and over a churn of some minutes that stands for the hour.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::measured::Figure;
use super::percentile;
use super::town::Town;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::service::Service;

const REST: Duration = Duration::from_secs(3);
const STREAMS: usize = 1_000;
/// The streams begin within this time, and each lasts for longer.
const BEGINNING: Duration = Duration::from_secs(15);
const STREAM_WORDS: usize = 30;
const WORD: Duration = Duration::from_secs(1);
const CHURN: Duration = Duration::from_secs(120);
const CHURNED_A_SECOND: usize = 25;
const PATIENCE: Duration = Duration::from_secs(180);
/// The most that may be held, in MiB.
const LIMITS: [f64; 2] = [32.0, 160.0];
/// How much more the churn's last third may hold than its second, to count as flat.
const FLAT: f64 = 1.05;

pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    let town = Town::build(binaries)?;
    // What waits from the installation is another process' work.
    drop(town.api(&[])?);
    let api = town.api(&[("MAX_CONCURRENT_REPLIES", "1000")])?;
    std::thread::sleep(REST);
    let idle = mebibytes(&api)?;
    let streaming = step("1,000 streaming replies", || stream(&town, &api))?;
    let churn = step("the churn", || churn(&town, &api))?;
    println!("\nwhen                             MiB    limit");
    println!("idle                       {idle:9.1} {:8.0}", LIMITS[0]);
    println!("at 1,000 streaming replies {streaming:9.1} {:8.0}", LIMITS[1]);
    let third = churn.len() / 3;
    let medians = [0, 1, 2].map(|part| median(&churn[part * third..(part + 1) * third]));
    for (part, held) in ["first", "second", "last"].iter().zip(medians) {
        println!("{:26} {held:9.1}", format!("{part} third of the churn"));
    }
    let verdict = if medians[2] <= medians[1] * FLAT { "flat" } else { "growing" };
    let (seconds, replies) = (CHURN.as_secs(), CHURN.as_secs() as usize * CHURNED_A_SECOND);
    println!(
        "\nThe churn, {replies} replies in {seconds} s after those streams, is {verdict}; it stands for an hour's."
    );
    let a_reply = (streaming - idle) / STREAMS as f64;
    Ok(vec![Figure::new("api_per_streaming_reply", a_reply)])
}

/// The most that is held while all of them stream.
fn stream(town: &Town, api: &Service) -> Result<f64> {
    town.set_model(Duration::from_millis(300), WORD, STREAM_WORDS);
    town.ask_evenly(0, STREAMS, BEGINNING)?;
    let until = Instant::now() + WORD * u32::try_from(STREAM_WORDS)? - BEGINNING;
    let mut most = 0.0_f64;
    while Instant::now() < until {
        most = most.max(mebibytes(api)?);
        std::thread::sleep(Duration::from_millis(250));
    }
    town.wait_until_done(PATIENCE)?;
    Ok(most)
}

/// A sample a second.
fn churn(town: &Town, api: &Service) -> Result<Vec<f64>> {
    town.set_model(Duration::from_millis(100), Duration::from_millis(30), 20);
    let second = |second: usize| {
        let first = STREAMS + second * CHURNED_A_SECOND;
        town.ask_evenly(first, CHURNED_A_SECOND, Duration::from_secs(1))?;
        mebibytes(api)
    };
    let samples = (0..CHURN.as_secs() as usize).map(second).collect();
    town.wait_until_done(PATIENCE)?;
    samples
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

fn mebibytes(api: &Service) -> Result<f64> {
    Ok(api.resident_bytes()? as f64 / f64::from(1 << 20))
}
