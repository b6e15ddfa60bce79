//! Seals and opens texts of the sizes that are its arguments, for a second each, and prints bytes a second of both;
//! `cargo xtask bench crypto` runs it beside openssl.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use crypto::{Binding, DataKey, SealError};

const MEASUREMENT_DURATION: Duration = Duration::from_secs(1);
const BENCH_BINDING: Binding<'_> = Binding { table: "turns", column: "text", tenant: "T012AB3CD" };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = DataKey::generate();
    for size in std::env::args().skip(1) {
        let size: usize = size.parse()?;
        let text = "e".repeat(size);
        let sealed = key.seal(BENCH_BINDING, &text)?;
        let seals = operations_per_second(|| key.seal(BENCH_BINDING, &text).map(drop))?;
        let opens = operations_per_second(|| key.open(BENCH_BINDING, black_box(&sealed)).map(drop))?;
        println!("{size} {:.0} {:.0}", seals * size as f64, opens * size as f64);
    }
    Ok(())
}

/// How often a second.
fn operations_per_second(mut work: impl FnMut() -> Result<(), SealError>) -> Result<f64, SealError> {
    let (begun, mut times) = (Instant::now(), 0_u64);
    while begun.elapsed() < MEASUREMENT_DURATION {
        for _ in 0..64 {
            work()?;
        }
        times += 64;
    }
    Ok(times as f64 / begun.elapsed().as_secs_f64())
}
