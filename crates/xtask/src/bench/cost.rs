//! Costs of a reply: processor time of `api` and Postgres, and bytes written, stored and held in Redis.

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
/// The first replies open connections and let new files grow; they are not counted.
const COST_WARM_UP_REPLIES: usize = 200;
/// Words per reply, about 300 tokens.
const REPLY_WORDS: usize = 220;
/// Messages per second, far below the capacity of a core: an overloaded service does different work.
const REPLIES_PER_SECOND: f64 = 40.0;
/// The services' own background work is sampled for this long and subtracted.
const IDLE_SAMPLE_DURATION: Duration = Duration::from_secs(5);
const COST_RUN_TIMEOUT: Duration = Duration::from_secs(300);

/// The unit of times in `/proc` on every Linux. Source: <https://man7.org/linux/man-pages/man7/time.7.html>
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// The tables whose rows are deleted after `EVENT_RETENTION_DAYS`. All other rows stay.
const QUEUE_TABLES: &str = "'events', 'threads', 'replies', 'event_inbox', 'ignored_events'";

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

/// Sends messages at a fixed rate, and measures what processes and files use meanwhile.
pub fn measure_cost(
    binaries: &Binaries,
    replies: usize,
    replies_per_second: f64,
) -> Result<Vec<BenchResult>> {
    let fixture = BenchFixture::build(binaries)?;
    let redis = Redis::start()?;
    fixture.set_model(Duration::from_millis(20), Duration::from_millis(2), REPLY_WORDS);
    let api = fixture.api(&[("REDIS_URL", &redis.url())])?;
    let warm_up = COST_WARM_UP_REPLIES.min(replies);
    send_messages(&fixture, 0, warm_up, replies_per_second)?;
    let idle = ResourceUsage::sample(&fixture, &api)?;
    std::thread::sleep(IDLE_SAMPLE_DURATION);
    let before = ResourceUsage::sample(&fixture, &api)?;
    step(&format!("{replies} replies"), || send_messages(&fixture, warm_up, replies, replies_per_second))?;
    let after = ResourceUsage::sample(&fixture, &api)?;
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

fn send_messages(fixture: &BenchFixture, first: usize, count: usize, replies_per_second: f64) -> Result<()> {
    fixture.send_evenly(first, count, Duration::from_secs_f64(count as f64 / replies_per_second))?;
    fixture.wait_until_drained(COST_RUN_TIMEOUT)
}

/// Resource usage so far, in milliseconds and bytes.
struct ResourceUsage {
    at: Instant,
    api_ms: f64,
    postgres_ms: f64,
    wal_bytes: f64,
    queue_bytes: f64,
    kept_bytes: f64,
}

impl ResourceUsage {
    fn sample(fixture: &BenchFixture, api: &Service) -> Result<Self> {
        let stack = &fixture.stack;
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

/// Returns the processor time of the server, its processes, and its processes that have ended.
fn postgres_cpu_ms(server: u32) -> Result<f64> {
    let mut all = 0.0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // The parent's time includes a process that has just ended.
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

/// Returns the fields after the name. Source: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
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

/// Returns the bytes of keys and values, without the server's own.
fn redis_dataset_bytes(redis: &Redis) -> Result<f64> {
    let program =
        workspace::find_program("redis-cli").context("there is no redis-cli beside redis-server")?;
    let port = redis.port().to_string();
    let told = workspace::output(Command::new(program).args(["-p", &port, "INFO", "memory"]))?;
    let value = told.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    Ok(value.context("no used_memory_dataset")?.trim().parse()?)
}
