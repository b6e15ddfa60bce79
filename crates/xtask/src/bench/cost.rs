//! What a reply costs: time of `api`'s and of Postgres' processors, and bytes written, kept and held in Redis.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::fixture::BenchFixture;
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::redis::Redis;
use crate::service::Service;
use crate::workspace;

const COST_REPLIES: usize = 2_000;
/// The first replies open connections and make files grow that are as long as they were before.
const COST_WARM_UP_REPLIES: usize = 200;
/// Words of an answer: some 300 tokens.
const REPLY_WORDS: usize = 220;
/// So many are asked a second, far below what a core does: who cannot keep up does other work than who can.
const REPLIES_PER_SECOND: f64 = 40.0;
/// What the services do by themselves is looked at for so long, and is not counted.
const IDLE_SAMPLE_DURATION: Duration = Duration::from_secs(5);
const COST_RUN_TIMEOUT: Duration = Duration::from_secs(300);

/// `/proc` counts in these, on every Linux. Source: <https://man7.org/linux/man-pages/man7/time.7.html>
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// What becomes of events; it is forgotten after `EVENT_RETENTION_DAYS`. All else is kept.
const QUEUE_TABLES: &str = "'events', 'threads', 'replies', 'deliveries', 'ignored_events'";

pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let figures = measure_cost(binaries, COST_REPLIES, REPLIES_PER_SECOND)?;
    println!("\nfigure                          a reply");
    for BenchResult { name, value } in &figures {
        println!("{name:26} {value:12.2}");
    }
    println!(
        "\nTimes in ms, sizes in bytes; redis_per_workspace is once a workspace. Answers of {REPLY_WORDS} words."
    );
    Ok(figures)
}

/// Asks so many a second, and looks at what the processes and the files have taken meanwhile.
pub fn measure_cost(
    binaries: &Binaries,
    replies: usize,
    replies_per_second: f64,
) -> Result<Vec<BenchResult>> {
    let town = BenchFixture::build(binaries)?;
    let redis = Redis::start()?;
    town.set_model(Duration::from_millis(20), Duration::from_millis(2), REPLY_WORDS);
    let api = town.api(&[("REDIS_URL", &redis.url())])?;
    let warm_up = COST_WARM_UP_REPLIES.min(replies);
    send_messages(&town, 0, warm_up, replies_per_second)?;
    let idle = ResourceUsage::sample(&town, &api)?;
    std::thread::sleep(IDLE_SAMPLE_DURATION);
    let before = ResourceUsage::sample(&town, &api)?;
    step(&format!("{replies} replies"), || send_messages(&town, warm_up, replies, replies_per_second))?;
    let after = ResourceUsage::sample(&town, &api)?;
    let rests = (after.at - before.at).as_secs_f64() / (before.at - idle.at).as_secs_f64();
    let a_reply = |taken: fn(&ResourceUsage) -> f64| {
        let by_itself = (taken(&before) - taken(&idle)) * rests;
        (taken(&after) - taken(&before) - by_itself).max(0.0) / replies as f64
    };
    Ok(vec![
        BenchResult::new("api_cpu_per_reply", a_reply(|taken| taken.api_ms)),
        BenchResult::new("postgres_cpu_per_reply", a_reply(|taken| taken.postgres_ms)),
        BenchResult::new("wal_per_reply", a_reply(|taken| taken.wal_bytes)),
        BenchResult::new("queue_per_reply", a_reply(|taken| taken.queue_bytes)),
        BenchResult::new("kept_per_reply", a_reply(|taken| taken.kept_bytes)),
        BenchResult::new(
            "redis_per_workspace",
            redis_dataset_bytes(&redis)? / super::fixture::FIXTURE_TEAMS as f64,
        ),
    ])
}

fn send_messages(town: &BenchFixture, first: usize, count: usize, replies_per_second: f64) -> Result<()> {
    town.send_evenly(first, count, Duration::from_secs_f64(count as f64 / replies_per_second))?;
    town.wait_until_drained(COST_RUN_TIMEOUT)
}

/// What was taken up to now: milliseconds and bytes.
struct ResourceUsage {
    at: Instant,
    api_ms: f64,
    postgres_ms: f64,
    wal_bytes: f64,
    queue_bytes: f64,
    kept_bytes: f64,
}

impl ResourceUsage {
    fn sample(town: &BenchFixture, api: &Service) -> Result<Self> {
        let stack = &town.stack;
        let number = |sql: &str| Ok::<f64, anyhow::Error>(stack.query(sql)?.parse()?);
        let size = |which: &str| {
            number(&format!(
                "select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class
                 where relnamespace = 'enablebot'::regnamespace and relkind = 'r'
                   and relname {which} ({QUEUE_TABLES})"
            ))
        };
        Ok(Self {
            at: Instant::now(),
            api_ms: cpu_ms(api.pid())?,
            postgres_ms: postgres_cpu_ms(stack.cluster.pid())?,
            wal_bytes: number("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")?,
            queue_bytes: size("in")?,
            kept_bytes: size("not in")?,
        })
    }
}

/// The server's own time, that of its processes, and that of those that have ended.
fn postgres_cpu_ms(server: u32) -> Result<f64> {
    let mut all = 0.0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that ended just now is counted by its parent.
        let Ok(fields) = read_proc_stat(pid) else { continue };
        if pid == server {
            all += ticks_as_ms(&fields, 11..15)?;
        } else if fields.get(1).is_some_and(|parent| *parent == server.to_string()) {
            all += ticks_as_ms(&fields, 11..13)?;
        }
    }
    Ok(all)
}

fn cpu_ms(pid: u32) -> Result<f64> {
    ticks_as_ms(&read_proc_stat(pid)?, 11..13)
}

/// The fields behind the name. Source: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn read_proc_stat(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn ticks_as_ms(fields: &[String], which: std::ops::Range<usize>) -> Result<f64> {
    let fields = fields.get(which).context("stat is too short")?;
    let ticks: f64 = fields.iter().map(|field| field.parse().unwrap_or(0.0)).sum();
    Ok(ticks * 1e3 / CLOCK_TICKS_PER_SECOND)
}

/// What the keys and values take, without the server itself.
fn redis_dataset_bytes(redis: &Redis) -> Result<f64> {
    let program =
        workspace::find_program("redis-cli").context("there is no redis-cli beside redis-server")?;
    let port = redis.port().to_string();
    let told = workspace::output(Command::new(program).args(["-p", &port, "INFO", "memory"]))?;
    let value = told.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    Ok(value.context("no used_memory_dataset")?.trim().parse()?)
}
