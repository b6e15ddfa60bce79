//! An acknowledgement under load: a 200 means that the event is committed, beside what Postgres itself commits; and its
//! verifying part alone, beside a bare axum handler.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::envelopes::{self, Bot};
use super::{bare, load, percentile, pgbench};
use crate::binaries::Binaries;
use crate::cluster::Options;
use crate::progress::step;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::{browser, workspace};

/// Deliveries under way at once, and as many clients of pgbench.
const CLIENTS: [usize; 2] = [64, 256];
const LIMIT: Duration = Duration::from_secs(6);
/// Made before the clock starts, two kilobytes each; who is through with them before the limit is measured by them.
const REQUESTS: usize = 100_000;
const ROUNDS: usize = 2;

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
pub(super) fn run(binaries: &Binaries) -> Result<()> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder)?;
    let options = Options { fsync: true, fresh: true };
    let stack = step("starting Postgres", || {
        Stack::start(binaries, &folder.join("postgres"), options, Ports::free()?)
    })?;
    let bot = step("installing the bot", || install(&stack))?;
    let bare = bare::start()?;
    let _api = stack.api(&[("MAX_CONCURRENT_REPLIES", "0"), ("LOG_LEVEL", "WARN")])?;
    let mut rows = Vec::new();
    for round in 1..=ROUNDS {
        for clients in CLIENTS {
            let what = format!("round {round}, {clients} clients");
            let ack = step(&format!("{what}: api"), || acknowledge(&stack, &bot, clients, None))?;
            let half = step(&format!("{what}: api at half of that"), || {
                acknowledge(&stack, &bot, clients, Some(ack.rate / 2.0))
            })?;
            pgbench::prepare(&stack, &bot.team, payload(&stack)?, &folder)?;
            let bench = step(&format!("{what}: pgbench"), || pgbench::run(&stack, clients, LIMIT, &folder))?;
            let verified = step(&format!("{what}: api verifies only"), || {
                verify(&bot, stack.settings.ports.api, clients)
            })?;
            let alone = step(&format!("{what}: bare axum"), || verify(&bot, bare.port, clients))?;
            rows.push(Row { round, clients, ack, half, bench, verified, alone });
        }
    }
    print(&rows);
    Ok(())
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
    let waiting = "(select coalesce(sum(event_count), 0) from deliveries)";
    Ok(stack.ask(&format!("select count(*) + {waiting} from events where kind = 'message'"))?.parse()?)
}

/// The bytes of an event's body as it is stored.
fn payload(stack: &Stack) -> Result<usize> {
    let size = "select coalesce(avg(octet_length(body)), 0)::int from events where kind = 'message'";
    Ok(stack.ask(size)?.parse()?)
}

/// One round's figures.
struct Row {
    round: usize,
    clients: usize,
    ack: Figures,
    half: Figures,
    bench: Figures,
    verified: Figures,
    alone: Figures,
}

fn print(rows: &[Row]) {
    println!("\nround  clients  what                  events/s     p50 ms     p99 ms   p99.9 ms      ratio");
    for row in rows {
        let of_bench = format!("{:.2}x", row.ack.rate / row.bench.rate);
        let of_alone = format!("{:.2}x", row.verified.rate / row.alone.rate);
        let lines = [
            ("acknowledged by api", &row.ack, ""),
            ("at half of that load", &row.half, ""),
            ("pgbench's inserts", &row.bench, &of_bench),
            ("verified by api", &row.verified, ""),
            ("bare axum handler", &row.alone, &of_alone),
        ];
        for (name, one, ratio) in lines {
            let [p50, p99, p999] = [one.p50, one.p99, one.p999].map(|time| time.as_secs_f64() * 1e3);
            let (round, clients) = (row.round, row.clients);
            println!(
                "{round:5} {clients:8}  {name:20} {:9.0} {p50:10.2} {p99:10.2} {p999:10.2} {ratio:>10}",
                one.rate
            );
        }
    }
    println!(
        "\nA ratio is api's rate by that line's; limits: 1.50 of pgbench, 0.90 of the bare handler, 50 ms for the"
    );
    println!("p99 at half of the load. Each acknowledged event was committed with fsync on.");
}
