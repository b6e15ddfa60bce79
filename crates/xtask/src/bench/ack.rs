//! Acknowledgements under load. A 200 means that the event is committed, so they are compared with Postgres'
//! own commits; signature verification alone is compared with a bare axum handler.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::payloads::{self, InstalledBot};
use super::results::BenchResult;
use super::{baseline_axum, load, pgbench};
use crate::binaries::Binaries;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::service::Service;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::statistics::percentile;
use crate::{browser, workspace};

/// Concurrent deliveries, and clients of pgbench.
const ACK_CLIENTS: [usize; 2] = [64, 256];
const ACK_RUN_DURATION: Duration = Duration::from_secs(5);
/// Requests of two kilobytes, built before the clock starts. A run that uses them up early is measured until
/// then.
const ACK_REQUESTS: usize = 120_000;
const ACK_ROUNDS: usize = 3;
/// Rounds of the verification runs, which alternate and take a second each.
const VERIFY_ROUNDS: usize = 3;

/// A rate and its latencies.
pub(super) struct LatencyStats {
    pub(super) rate: f64,
    p50: Duration,
    p99: Duration,
    p999: Duration,
}

impl LatencyStats {
    /// Computes the statistics from sorted latencies.
    pub(super) fn new(rate: f64, sorted: Vec<Duration>) -> Result<Self> {
        if sorted.is_empty() {
            bail!("nothing was measured");
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| percentile(&sorted, share));
        Ok(Self { rate, p50, p99, p999 })
    }
}

/// Alternates between both sides, so that changes in the machine's speed affect both.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder)?;
    let options = ClusterOptions { fsync: true, is_ephemeral: true };
    let stack = step("starting Postgres", || {
        Stack::start(binaries, &folder.join("postgres"), options, Ports::free()?)
    })?;
    let bot = step("installing the bot", || install_bot(&stack))?;
    let bare = baseline_axum::start()?;
    let _api = stack.start_api(&[("MAX_CONCURRENT_REPLIES", "0"), ("LOG_LEVEL", "WARN")])?;
    let mut least = f64::INFINITY;
    for clients in ACK_CLIENTS {
        let mut rounds = Vec::new();
        for round in 1..=ACK_ROUNDS {
            let row = measure_round(&stack, &bot, &bare, clients, &folder)?;
            row.print(round, clients);
            least = least.min(row.ack.rate);
            rounds.push(row);
        }
        print_medians(clients, &rounds);
    }
    println!(
        "\nLimits: 1.50 of pgbench, 0.90 of the bare handler, 50 ms for the p99 at half of the load. Each acknowledged"
    );
    println!(
        "event was committed with fsync on; events not yet in the queue are counted, and were moved right after."
    );
    Ok(vec![BenchResult::new("acknowledged_per_second", least)])
}

fn measure_round(
    stack: &Stack,
    bot: &InstalledBot,
    bare: &Service,
    clients: usize,
    folder: &Path,
) -> Result<AckRound> {
    let ack =
        step(&format!("{clients} clients: api"), || measure_acknowledgement(stack, bot, clients, None))?;
    // Events that are still being moved into the queue would slow down the next measurement.
    let (pending, sorting) = wait_until_sorted(stack)?;
    pgbench::prepare_inserts(stack, &bot.team, average_body_bytes(stack)?, folder)?;
    let bench = step(&format!("{clients} clients: pgbench"), || {
        pgbench::run(stack, clients, ACK_RUN_DURATION, folder)
    })?;
    let half = step(&format!("{clients} clients: api at half of that"), || {
        measure_acknowledgement(stack, bot, clients, Some(ack.rate / 2.0))
    })?;
    wait_until_sorted(stack)?;
    let (mut verified, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..VERIFY_ROUNDS {
        let ports = [stack.settings.ports.api, bare.port];
        let [api, axum] = ports.map(|port| {
            step(&format!("{clients} clients: verifying only, on port {port}"), || {
                measure_verification(bot, port, clients)
            })
        });
        verified.push(api?);
        alone.push(axum?);
    }
    Ok(AckRound {
        ack,
        pending,
        drain_time: sorting,
        pgbench: bench,
        half_load: half,
        verified: median_by_rate(verified)?,
        baseline: median_by_rate(alone)?,
    })
}

/// Waits until all events are in the queue. Returns how many were not, and the time it took.
fn wait_until_sorted(stack: &Stack) -> Result<(usize, Duration)> {
    let unsorted = || Ok::<usize, anyhow::Error>(stack.query(PENDING_EVENTS_QUERY)?.parse()?);
    let (left, begun) = (unsorted()?, Instant::now());
    while unsorted()? > 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((left, begun.elapsed()))
}

const PENDING_EVENTS_QUERY: &str = "select coalesce(sum(event_count), 0) from event_inbox";

/// Returns the figures with the median rate.
fn median_by_rate(mut figures: Vec<LatencyStats>) -> Result<LatencyStats> {
    figures.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let middle = figures.len() / 2;
    figures.into_iter().nth(middle).context("nothing was measured")
}

/// Installs the bot through the pages that an admin sees.
fn install_bot(stack: &Stack) -> Result<InstalledBot> {
    let _simulator = stack.start_simulator()?;
    let _web = stack.start_web(&[])?;
    browser::install_bot(stack.settings.ports.web, None)?;
    let row = stack.query("select tenant_id, app_id, bot_user_id from installations")?;
    let mut columns = row.split('|').map(str::to_owned);
    let mut next = || columns.next().context("nothing was installed");
    Ok(InstalledBot { team: next()?, app: next()?, user: next()? })
}

/// Posts requests that are verified and then ignored.
fn measure_verification(bot: &InstalledBot, port: u16, clients: usize) -> Result<LatencyStats> {
    let outcome =
        load::run(port, payloads::signed_noops(bot, port, ACK_REQUESTS)?, clients, ACK_RUN_DURATION, None)?;
    if outcome.rejected > 0 {
        bail!("{} verified requests got no 200", outcome.rejected);
    }
    LatencyStats::new(outcome.accepted as f64 / outcome.elapsed.as_secs_f64(), outcome.latencies)
}

fn measure_acknowledgement(
    stack: &Stack,
    bot: &InstalledBot,
    clients: usize,
    rate: Option<f64>,
) -> Result<LatencyStats> {
    let port = stack.settings.ports.api;
    let requests = payloads::signed_messages(bot, port, ACK_REQUESTS)?;
    let before = count_committed(stack)?;
    let outcome = load::run(port, requests, clients, ACK_RUN_DURATION, rate)?;
    let stored = count_committed(stack)? - before;
    if outcome.rejected > 0 || stored != outcome.accepted {
        let (accepted, refused) = (outcome.accepted, outcome.rejected);
        bail!("{accepted} deliveries got a 200 and {refused} did not, but {stored} events are committed");
    }
    LatencyStats::new(outcome.accepted as f64 / outcome.elapsed.as_secs_f64(), outcome.latencies)
}

fn count_committed(stack: &Stack) -> Result<usize> {
    let all = format!("select count(*) + ({PENDING_EVENTS_QUERY}) from events where kind = 'message'");
    Ok(stack.query(&all)?.parse()?)
}

/// Returns the average size of a stored event body.
fn average_body_bytes(stack: &Stack) -> Result<usize> {
    let size = "select coalesce(avg(octet_length(body)), 0)::int from events where kind = 'message'";
    Ok(stack.query(size)?.parse()?)
}

/// The figures of one round.
struct AckRound {
    ack: LatencyStats,
    /// Events that were not in the queue when the last one was acknowledged, and the time until they were.
    pending: usize,
    drain_time: Duration,
    pgbench: LatencyStats,
    half_load: LatencyStats,
    verified: LatencyStats,
    baseline: LatencyStats,
}

impl AckRound {
    fn ratios(&self) -> [f64; 2] {
        [self.ack.rate / self.pgbench.rate, self.verified.rate / self.baseline.rate]
    }

    fn print(&self, round: usize, clients: usize) {
        let [of_bench, of_alone] = self.ratios().map(|ratio| format!("{ratio:.2}x"));
        println!(
            "\nround {round}, {clients} clients        events/s     p50 ms     p99 ms   p99.9 ms      ratio"
        );
        let lines = [
            ("acknowledged by api", &self.ack, ""),
            ("pgbench's inserts", &self.pgbench, &of_bench),
            ("api at half of that", &self.half_load, ""),
            ("verified by api", &self.verified, ""),
            ("bare axum handler", &self.baseline, &of_alone),
        ];
        for (name, one, ratio) in lines {
            let [p50, p99, p999] = [one.p50, one.p99, one.p999].map(|time| time.as_secs_f64() * 1e3);
            println!("{name:26} {:9.0} {p50:10.2} {p99:10.2} {p999:10.2} {ratio:>10}", one.rate);
        }
        println!(
            "{:26} {:9} in {:.1} s",
            "not yet in the queue",
            self.pending,
            self.drain_time.as_secs_f64()
        );
    }
}

fn print_medians(clients: usize, rounds: &[AckRound]) {
    for (at, name) in ["pgbench", "the bare handler"].into_iter().enumerate() {
        let mut ratios: Vec<f64> = rounds.iter().map(|row| row.ratios()[at]).collect();
        ratios.sort_by(f64::total_cmp);
        println!("median of {clients} clients by {name}: {:.2}x", percentile(&ratios, 0.5));
    }
}
