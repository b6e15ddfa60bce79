//! Sealing and opening compared with openssl's AES-256-GCM. openssl reuses one key and one buffer; a seal
//! here includes key schedule, random nonce, binding to its row and its own buffer.

use std::process::Command;

use anyhow::{Context, Result};

use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::workspace::{self, find_program};

const SEAL_SIZES: [&str; 3] = ["64", "1024", "16384"];
const CRYPTO_ROUNDS: usize = 3;

/// Runs several rounds and returns the median ratio.
pub(super) fn run(_: &Binaries) -> Result<Vec<BenchResult>> {
    let mut ratios = vec![Vec::new(); SEAL_SIZES.len()];
    let mut middle = String::new();
    for round in 1..=CRYPTO_ROUNDS {
        let (ours, openssl) = step(&format!("sealing, round {round} of {CRYPTO_ROUNDS}"), measure_round)?;
        for (size, ((seal, open), openssl)) in ours.into_iter().zip(openssl).enumerate() {
            ratios[size].push((seal / openssl, open / openssl, seal, openssl));
        }
    }
    for (size, mut rounds) in SEAL_SIZES.iter().zip(ratios) {
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (seal, open, bytes, openssl) = rounds[CRYPTO_ROUNDS / 2];
        let each = size.parse::<f64>()? / bytes * 1e6;
        let line = format!(
            "{size:>9} {:>12.0} {:>14.0} {each:>13.2} {seal:>11.2}x {open:>11.2}x\n",
            bytes / 1e6,
            openssl / 1e6
        );
        middle.push_str(&line);
    }
    println!("\n    bytes    seal MB/s   openssl MB/s   µs a seal   seal/openssl  open/openssl\n{middle}");
    Ok(Vec::new())
}

type SealRates = (Vec<(f64, f64)>, Vec<f64>);

/// Measures bytes per second by size: our sealing, our opening, and openssl.
fn measure_round() -> Result<SealRates> {
    let example = ["run", "--quiet", "--release", "--package", "crypto", "--example", "speed", "--"];
    let printed = workspace::output(workspace::cargo(&example).args(SEAL_SIZES))?;
    let ours = printed.lines().map(|line| {
        let mut words = line.split(' ').skip(1).map(|word| word.parse::<f64>().ok());
        words.next().flatten().zip(words.next().flatten()).context("no figures of ours")
    });
    let openssl = SEAL_SIZES.iter().map(|size| openssl_speed(size));
    Ok((ours.collect::<Result<_>>()?, openssl.collect::<Result<_>>()?))
}

fn openssl_speed(size: &str) -> Result<f64> {
    let openssl =
        find_program("openssl").context("openssl is not installed, so there is nothing to compare with")?;
    let arguments = ["speed", "-elapsed", "-mr", "-evp", "aes-256-gcm", "-seconds", "1", "-bytes", size];
    parse_openssl_speed(&workspace::output(Command::new(openssl).args(arguments))?)
}

/// Parses `+F:25:AES-256-GCM:175145066.67`, in bytes per second.
fn parse_openssl_speed(printed: &str) -> Result<f64> {
    let line = printed.lines().find(|line| line.starts_with("+F:")).context("openssl tells no speed")?;
    Ok(line.rsplit(':').next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::parse_openssl_speed;

    #[test]
    fn openssl_speed_is_parsed() {
        assert_eq!(parse_openssl_speed("+H:64\n+F:25:AES-256-GCM:175145066.67\n").ok(), Some(175_145_066.67));
        assert!(parse_openssl_speed("unknown option").is_err());
    }
}
