//! Postgres alone: pgbench with one single-row insert per transaction.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::ack::LatencyStats;
use crate::stack::Stack;
use crate::workspace;

/// Creates a table with the columns and indexes of `events`, and the script that fills it.
pub(super) fn prepare_inserts(stack: &Stack, tenant: &str, body_bytes: usize, folder: &Path) -> Result<()> {
    stack.query(
        "drop table if exists pgbench_events;
         create table pgbench_events (like events including defaults including identity including indexes)",
    )?;
    let mut body = String::with_capacity(body_bytes * 2);
    for byte in 0..body_bytes {
        // Any bytes will do if Postgres cannot compress them.
        write!(body, "{:02x}", (byte * 167 + byte * byte % 251) % 256)?;
    }
    let script = format!(
        "\\set person random(0, 199)\n\
         insert into pgbench_events (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, client_msg_id, \
         user_id, body) \
         select '{tenant}', 'Ev' || id, 'message', 'D' || :person, left(id, 17), left(id, 17), id, 'U' || :person, \
         '\\x{body}'::bytea from (select gen_random_uuid()::text as id) as new;\n"
    );
    fs::write(folder.join("insert.sql"), script)?;
    Ok(())
}

/// Inserts for a time over this many connections, with prepared statements, pgbench's fastest mode.
pub(super) fn run(stack: &Stack, clients: usize, duration: Duration, folder: &Path) -> Result<LatencyStats> {
    let log = folder.join("log");
    if log.exists() {
        fs::remove_dir_all(&log)?;
    }
    fs::create_dir_all(&log)?;
    let mut pgbench = stack.cluster.client("pgbench");
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--log"]);
    pgbench.arg(format!("--client={clients}")).arg(format!("--time={}", duration.as_secs()));
    pgbench.arg("--file").arg(folder.join("insert.sql")).arg(stack.database());
    let report = workspace::output(pgbench.current_dir(&log))?;
    let rate = parse_rate(&report).with_context(|| format!("pgbench printed no rate:\n{report}"))?;
    LatencyStats::new(rate, read_latencies(&log)?)
}

/// Returns the rate without the time for connecting.
fn parse_rate(report: &str) -> Option<f64> {
    let line = report.lines().find(|line| line.starts_with("tps = "))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

/// Reads latencies from the third column of pgbench's logs, in microseconds.
fn read_latencies(folder: &Path) -> Result<Vec<Duration>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
        all.extend(micros.map(Duration::from_micros));
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_parsed_from_report() {
        let report = "latency average = 1.2 ms\ntps = 3210.5 (without initial connection time)\n";
        assert_eq!(parse_rate(report), Some(3210.5));
    }
}
