//! An acknowledgement under load: a 200 means that the event is committed, beside what Postgres itself commits; and its
//! verifying part alone, beside a bare axum handler.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::envelopes::{self, Bot};
use super::measured::Figure;
use super::{bare, load, percentile, pgbench};
use crate::binaries::Binaries;
use crate::cluster::Options;
use crate::progress::step;
use crate::service::Service;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::{browser, workspace};

/// Deliveries under way at once, and as many clients of pgbench.
const CLIENTS: [usize; 2] = [64, 256];
const LIMIT: Duration = Duration::from_secs(5);
/// Made before the clock starts, two kilobytes each; who is through with them before the limit is measured by them.
const REQUESTS: usize = 120_000;
const ROUNDS: usize = 3;
/// The two that only verify are done with their requests in a second, and take turns so often.
const TURNS: usize = 3;

/// A rate, and how long one took.
pub(super) struct Figures {
    rate: f64,
    p50: Duration,
    p99: Duration,
    p999: Duration,
}

impl Figures {
    /// From sorted latencies.
    pub(super) fn new(rate: f64, sorted: Vec<Duration>) -> Result<Self> {
        if sorted.is_empty() {
            bail!("nothing was measured");
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| percentile(&sorted, share));
        Ok(Self { rate, p50, p99, p999 })
    }
}

/// Alternates between the two, so that a machine's moods meet both.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder)?;
    let options = Options { fsync: true, fresh: true };
    let stack = step("starting Postgres", || {
        Stack::start(binaries, &folder.join("postgres"), options, Ports::free()?)
    })?;
    let bot = step("installing the bot", || install(&stack))?;
    let bare = bare::start()?;
    let _api = stack.api(&[("MAX_CONCURRENT_REPLIES", "0"), ("LOG_LEVEL", "WARN")])?;
    let mut least = f64::INFINITY;
    for clients in CLIENTS {
        let mut rounds = Vec::new();
        for round in 1..=ROUNDS {
            let row = measure(&stack, &bot, &bare, clients, &folder)?;
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
        "event was committed with fsync on; what was not sorted into the queue by then is told, and was right after."
    );
    Ok(vec![Figure::new("acknowledged_per_second", least)])
}

fn measure(stack: &Stack, bot: &Bot, bare: &Service, clients: usize, folder: &Path) -> Result<Row> {
    let ack = step(&format!("{clients} clients: api"), || acknowledge(stack, bot, clients, None))?;
    // What is still sorted would slow down what is measured next.
    let (left, sorting) = drain(stack)?;
    pgbench::prepare(stack, &bot.team, payload(stack)?, folder)?;
    let bench = step(&format!("{clients} clients: pgbench"), || pgbench::run(stack, clients, LIMIT, folder))?;
    let half = step(&format!("{clients} clients: api at half of that"), || {
        acknowledge(stack, bot, clients, Some(ack.rate / 2.0))
    })?;
    drain(stack)?;
    let (mut verified, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let ports = [stack.settings.ports.api, bare.port];
        let [api, axum] = ports.map(|port| {
            step(&format!("{clients} clients: verifying only, on port {port}"), || verify(bot, port, clients))
        });
        verified.push(api?);
        alone.push(axum?);
    }
    Ok(Row { ack, left, sorting, bench, half, verified: median(verified)?, alone: median(alone)? })
}

/// Waits until everything is sorted into the queue: how many events were not yet, and how long it took.
fn drain(stack: &Stack) -> Result<(usize, Duration)> {
    let unsorted = || Ok::<usize, anyhow::Error>(stack.ask(UNSORTED)?.parse()?);
    let (left, begun) = (unsorted()?, Instant::now());
    while unsorted()? > 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((left, begun.elapsed()))
}

const UNSORTED: &str = "select coalesce(sum(event_count), 0) from deliveries";

/// The one in the middle, by its rate.
fn median(mut figures: Vec<Figures>) -> Result<Figures> {
    figures.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let middle = figures.len() / 2;
    figures.into_iter().nth(middle).context("nothing was measured")
}

/// Through the pages that an admin sees.
fn install(stack: &Stack) -> Result<Bot> {
    let _simulator = stack.simulator()?;
    let _web = stack.web(&[])?;
    browser::install(stack.settings.ports.web)?;
    let row = stack.ask("select tenant_id, app_id, bot_user_id from installations")?;
    let mut columns = row.split('|').map(str::to_owned);
    let mut next = || columns.next().context("nothing was installed");
    Ok(Bot { team: next()?, app: next()?, user: next()? })
}

/// Posts what is only verified.
fn verify(bot: &Bot, port: u16, clients: usize) -> Result<Figures> {
    let outcome = load::run(port, envelopes::make_checks(bot, port, REQUESTS)?, clients, LIMIT, None)?;
    if outcome.refused > 0 {
        bail!("{} verified requests got no 200", outcome.refused);
    }
    Figures::new(outcome.accepted as f64 / outcome.took.as_secs_f64(), outcome.latencies)
}

fn acknowledge(stack: &Stack, bot: &Bot, clients: usize, rate: Option<f64>) -> Result<Figures> {
    let port = stack.settings.ports.api;
    let requests = envelopes::make(bot, port, REQUESTS)?;
    let before = committed(stack)?;
    let outcome = load::run(port, requests, clients, LIMIT, rate)?;
    let stored = committed(stack)? - before;
    if outcome.refused > 0 || stored != outcome.accepted {
        let (accepted, refused) = (outcome.accepted, outcome.refused);
        bail!("{accepted} deliveries got a 200 and {refused} did not, but {stored} events are committed");
    }
    Figures::new(outcome.accepted as f64 / outcome.took.as_secs_f64(), outcome.latencies)
}

fn committed(stack: &Stack) -> Result<usize> {
    let all = format!("select count(*) + ({UNSORTED}) from events where kind = 'message'");
    Ok(stack.ask(&all)?.parse()?)
}

/// The bytes of an event's body as it is stored.
fn payload(stack: &Stack) -> Result<usize> {
    let size = "select coalesce(avg(octet_length(body)), 0)::int from events where kind = 'message'";
    Ok(stack.ask(size)?.parse()?)
}

/// One round's figures.
struct Row {
    ack: Figures,
    /// Events that were not sorted yet when the last was acknowledged, and how long that took.
    left: usize,
    sorting: Duration,
    bench: Figures,
    half: Figures,
    verified: Figures,
    alone: Figures,
}

impl Row {
    fn ratios(&self) -> [f64; 2] {
        [self.ack.rate / self.bench.rate, self.verified.rate / self.alone.rate]
    }

    fn print(&self, round: usize, clients: usize) {
        let [of_bench, of_alone] = self.ratios().map(|ratio| format!("{ratio:.2}x"));
        println!(
            "\nround {round}, {clients} clients        events/s     p50 ms     p99 ms   p99.9 ms      ratio"
        );
        let lines = [
            ("acknowledged by api", &self.ack, ""),
            ("pgbench's inserts", &self.bench, &of_bench),
            ("api at half of that", &self.half, ""),
            ("verified by api", &self.verified, ""),
            ("bare axum handler", &self.alone, &of_alone),
        ];
        for (name, one, ratio) in lines {
            let [p50, p99, p999] = [one.p50, one.p99, one.p999].map(|time| time.as_secs_f64() * 1e3);
            println!("{name:26} {:9.0} {p50:10.2} {p99:10.2} {p999:10.2} {ratio:>10}", one.rate);
        }
        println!("{:26} {:9} in {:.1} s", "then still to be sorted", self.left, self.sorting.as_secs_f64());
    }
}

fn print_medians(clients: usize, rounds: &[Row]) {
    for (at, name) in ["pgbench", "the bare handler"].into_iter().enumerate() {
        let mut ratios: Vec<f64> = rounds.iter().map(|row| row.ratios()[at]).collect();
        ratios.sort_by(f64::total_cmp);
        println!("median of {clients} clients by {name}: {:.2}x", percentile(&ratios, 0.5));
    }
}
