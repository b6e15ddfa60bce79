//! What a reply costs: time of `api`'s and of Postgres' processors, and bytes written, kept and held in Redis.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::measured::Figure;
use super::town::Town;
use crate::binaries::Binaries;
use crate::progress::step;
use crate::redis::Redis;
use crate::service::Service;
use crate::workspace;

const REPLIES: usize = 2_000;
/// The first replies open connections and make files grow that are as long as they were before.
const WARM_UP: usize = 200;
/// Words of an answer: some 300 tokens.
const WORDS: usize = 220;
/// So many are asked a second, far below what a core does: who cannot keep up does other work than who can.
const PACE: f64 = 40.0;
/// What the services do by themselves is looked at for so long, and is not counted.
const REST: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(300);

/// `/proc` counts in these, on every Linux. Source: <https://man7.org/linux/man-pages/man7/time.7.html>
const TICKS_A_SECOND: f64 = 100.0;

/// What becomes of events; it is forgotten after `EVENT_RETENTION_DAYS`. All else is kept.
const QUEUE: &str = "'events', 'threads', 'replies', 'deliveries', 'ignored_events'";

pub(super) fn run(binaries: &Binaries) -> Result<Vec<Figure>> {
    let figures = measure(binaries, REPLIES, PACE)?;
    println!("\nfigure                          a reply");
    for Figure { name, value } in &figures {
        println!("{name:26} {value:12.2}");
    }
    println!(
        "\nTimes in ms, sizes in bytes; redis_per_workspace is once a workspace. Answers of {WORDS} words."
    );
    Ok(figures)
}

/// Asks so many a second, and looks at what the processes and the files have taken meanwhile.
pub fn measure(binaries: &Binaries, replies: usize, pace: f64) -> Result<Vec<Figure>> {
    let town = Town::build(binaries)?;
    let redis = Redis::start()?;
    town.set_model(Duration::from_millis(20), Duration::from_millis(2), WORDS);
    let api = town.api(&[("REDIS_URL", &redis.url())])?;
    let warm_up = WARM_UP.min(replies);
    ask(&town, 0, warm_up, pace)?;
    let idle = Taken::look(&town, &api)?;
    std::thread::sleep(REST);
    let before = Taken::look(&town, &api)?;
    step(&format!("{replies} replies"), || ask(&town, warm_up, replies, pace))?;
    let after = Taken::look(&town, &api)?;
    let rests = (after.at - before.at).as_secs_f64() / (before.at - idle.at).as_secs_f64();
    let a_reply = |taken: fn(&Taken) -> f64| {
        let by_itself = (taken(&before) - taken(&idle)) * rests;
        (taken(&after) - taken(&before) - by_itself).max(0.0) / replies as f64
    };
    Ok(vec![
        Figure::new("api_cpu_per_reply", a_reply(|taken| taken.api_ms)),
        Figure::new("postgres_cpu_per_reply", a_reply(|taken| taken.postgres_ms)),
        Figure::new("wal_per_reply", a_reply(|taken| taken.wal)),
        Figure::new("queue_per_reply", a_reply(|taken| taken.queue)),
        Figure::new("kept_per_reply", a_reply(|taken| taken.kept)),
        Figure::new("redis_per_workspace", held_by(&redis)? / super::town::TEAMS as f64),
    ])
}

fn ask(town: &Town, first: usize, count: usize, pace: f64) -> Result<()> {
    town.ask_evenly(first, count, Duration::from_secs_f64(count as f64 / pace))?;
    town.wait_until_done(PATIENCE)
}

/// What was taken up to now: milliseconds and bytes.
struct Taken {
    at: Instant,
    api_ms: f64,
    postgres_ms: f64,
    wal: f64,
    queue: f64,
    kept: f64,
}

impl Taken {
    fn look(town: &Town, api: &Service) -> Result<Self> {
        let stack = &town.stack;
        let number = |sql: &str| Ok::<f64, anyhow::Error>(stack.ask(sql)?.parse()?);
        let size = |which: &str| {
            number(&format!(
                "select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class
                 where relnamespace = 'enablebot'::regnamespace and relkind = 'r'
                   and relname {which} ({QUEUE})"
            ))
        };
        Ok(Self {
            at: Instant::now(),
            api_ms: cpu_ms(api.pid())?,
            postgres_ms: cpu_of_postgres(stack.cluster.pid())?,
            wal: number("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")?,
            queue: size("in")?,
            kept: size("not in")?,
        })
    }
}

/// The server's own time, that of its processes, and that of those that have ended.
fn cpu_of_postgres(server: u32) -> Result<f64> {
    let mut all = 0.0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that ended just now is counted by its parent.
        let Ok(fields) = stat(pid) else { continue };
        if pid == server {
            all += ticks(&fields, 11..15)?;
        } else if fields.get(1).is_some_and(|parent| *parent == server.to_string()) {
            all += ticks(&fields, 11..13)?;
        }
    }
    Ok(all)
}

fn cpu_ms(pid: u32) -> Result<f64> {
    ticks(&stat(pid)?, 11..13)
}

/// The fields behind the name. Source: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], which: std::ops::Range<usize>) -> Result<f64> {
    let fields = fields.get(which).context("stat is too short")?;
    let ticks: f64 = fields.iter().map(|field| field.parse().unwrap_or(0.0)).sum();
    Ok(ticks * 1e3 / TICKS_A_SECOND)
}

/// What the keys and values take, without the server itself.
fn held_by(redis: &Redis) -> Result<f64> {
    let program =
        workspace::find_program("redis-cli").context("there is no redis-cli beside redis-server")?;
    let port = redis.port().to_string();
    let told = workspace::output(Command::new(program).args(["-p", &port, "INFO", "memory"]))?;
    let value = told.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    Ok(value.context("no used_memory_dataset")?.trim().parse()?)
}
