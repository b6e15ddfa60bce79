//! Seals and opens texts of the sizes given as arguments, for one second each, and prints bytes per second
//! for both. `cargo xtask bench crypto` compares it with openssl.

#![expect(clippy::print_stdout, reason = "it prints its measurements")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use crypto::{Binding, DataKey, SealError};

const MEASUREMENT_DURATION: Duration = Duration::from_secs(1);
const BENCH_BINDING: Binding<'_> = Binding { table: "chat_memory", column: "text", tenant: "T012AB3CD" };

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

/// Returns the number of operations per second.
fn operations_per_second(mut operation: impl FnMut() -> Result<(), SealError>) -> Result<f64, SealError> {
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < MEASUREMENT_DURATION {
        for _ in 0..64 {
            operation()?;
        }
        count += 64;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
