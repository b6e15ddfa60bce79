//! Memory of `api`: idle, with 1,000 streaming replies, and over a churn of some minutes that represents an
//! hour.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::fixture::BenchFixture;
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::service::Service;
use crate::statistics::percentile;

const MEMORY_SETTLE_TIME: Duration = Duration::from_secs(3);
const CONCURRENT_STREAMS: usize = 1_000;
/// All streams begin within this time, and each takes longer.
const STREAM_RAMP_UP: Duration = Duration::from_secs(15);
const STREAM_WORDS: usize = 30;
const STREAM_WORD_INTERVAL: Duration = Duration::from_secs(1);
const CHURN_DURATION: Duration = Duration::from_secs(120);
const CHURN_REPLIES_PER_SECOND: usize = 25;
const MEMORY_RUN_TIMEOUT: Duration = Duration::from_secs(180);
/// Memory limits in MiB, idle and streaming.
const MAX_MEMORY_MIB: [f64; 2] = [32.0, 160.0];
/// Growth allowed between the second and the last third of the churn, to count as flat.
const MAX_CHURN_GROWTH: f64 = 1.05;

pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let fixture = BenchFixture::build(binaries)?;
    // Events of the installation are handled by another process.
    drop(fixture.api(&[])?);
    let api = fixture.api(&[("MAX_CONCURRENT_REPLIES", "1000")])?;
    std::thread::sleep(MEMORY_SETTLE_TIME);
    let idle = resident_mib(&api)?;
    let streaming = step("1,000 streaming replies", || measure_streaming(&fixture, &api))?;
    let churn = step("the churn", || measure_churn(&fixture, &api))?;
    println!("\nwhen                             MiB    limit");
    println!("idle                       {idle:9.1} {:8.0}", MAX_MEMORY_MIB[0]);
    println!("at 1,000 streaming replies {streaming:9.1} {:8.0}", MAX_MEMORY_MIB[1]);
    let third = churn.len() / 3;
    let medians = [0, 1, 2].map(|part| median(&churn[part * third..(part + 1) * third]));
    for (part, held) in ["first", "second", "last"].iter().zip(medians) {
        println!("{:26} {held:9.1}", format!("{part} third of the churn"));
    }
    let verdict = if medians[2] <= medians[1] * MAX_CHURN_GROWTH { "flat" } else { "growing" };
    let (seconds, replies) =
        (CHURN_DURATION.as_secs(), CHURN_DURATION.as_secs() as usize * CHURN_REPLIES_PER_SECOND);
    println!(
        "\nThe churn, {replies} replies in {seconds} s after those streams, is {verdict}; it represents an hour."
    );
    let a_reply = (streaming - idle) / CONCURRENT_STREAMS as f64;
    Ok(vec![BenchResult::new("api_per_streaming_reply", a_reply)])
}

/// Measures the peak memory while all replies stream.
fn measure_streaming(fixture: &BenchFixture, api: &Service) -> Result<f64> {
    fixture.set_model(Duration::from_millis(300), STREAM_WORD_INTERVAL, STREAM_WORDS);
    fixture.send_evenly(0, CONCURRENT_STREAMS, STREAM_RAMP_UP)?;
    let until = Instant::now() + STREAM_WORD_INTERVAL * u32::try_from(STREAM_WORDS)? - STREAM_RAMP_UP;
    let mut most = 0.0_f64;
    while Instant::now() < until {
        most = most.max(resident_mib(api)?);
        std::thread::sleep(Duration::from_millis(250));
    }
    fixture.wait_until_drained(MEMORY_RUN_TIMEOUT)?;
    Ok(most)
}

/// Takes a sample each second.
fn measure_churn(fixture: &BenchFixture, api: &Service) -> Result<Vec<f64>> {
    fixture.set_model(Duration::from_millis(100), Duration::from_millis(30), 20);
    let second = |second: usize| {
        let first = CONCURRENT_STREAMS + second * CHURN_REPLIES_PER_SECOND;
        fixture.send_evenly(first, CHURN_REPLIES_PER_SECOND, Duration::from_secs(1))?;
        resident_mib(api)
    };
    let samples = (0..CHURN_DURATION.as_secs() as usize).map(second).collect();
    fixture.wait_until_drained(MEMORY_RUN_TIMEOUT)?;
    samples
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

fn resident_mib(api: &Service) -> Result<f64> {
    Ok(api.resident_bytes()? as f64 / f64::from(1 << 20))
}
