//! The dashboard's overview for 500 people who load it within a second and at the same moment, compared with
//! the front page.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::load::{self, LoadResult};
use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::seed;
use crate::service::Service;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::statistics::percentile;
use crate::workspace;

/// People who load the page, each over their own connection, one request after the other.
const OVERVIEW_VIEWERS: usize = 500;
const OVERVIEW_ROUNDS: usize = 8;
/// The pause between two rounds. People load a page, read it, and reload it; by then cached data has expired.
const ROUND_INTERVAL: Duration = Duration::from_secs(3);
const OVERVIEW_RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Limits: milliseconds of server time, and bytes.
const MAX_SERVER_MS: f64 = 50.0;
const MAX_PAGE_BYTES: usize = 100_000;

/// The number of waves within a second; 1 means all at the same moment.
const WAVES: [usize; 2] = [1, 10];

/// Statistics of loading a page.
struct PageLoadStats {
    path: &'static str,
    waves: usize,
    load: LoadResult,
    /// Durations from the service's own log, sorted.
    server_ms: Vec<f64>,
}

pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let folder = workspace::target().join("bench/postgres");
    let options = ClusterOptions { fsync: true, is_ephemeral: true };
    let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
    let sessions = step("three months of two workspaces, and 500 people signed in", || {
        seed::seed_with_sessions(&stack.settings.owner().web_variables(), OVERVIEW_VIEWERS)
    })?;
    let web = stack.start_web(&[])?;
    // The first requests warm Postgres' cache and open the connections.
    load_page(&web, "/dashboard", &sessions)?;
    let pages = WAVES.into_iter().flat_map(|waves| ["/", "/dashboard"].map(|path| (path, waves)));
    let pages: Vec<_> = pages
        .map(|(path, waves)| {
            let what =
                format!("{OVERVIEW_VIEWERS} people ask for {path} in {waves} waves, {OVERVIEW_ROUNDS} times");
            step(&what, || measure_page(&web, path, &sessions, waves))
        })
        .collect();
    println!("\npage         waves     server p50 ms    p99 ms   seen p50 ms    p99 ms   pages/s    bytes");
    let (mut bare, mut pages_per_second) = (None, 0.0);
    for figures in pages {
        let figures = figures?;
        figures.print();
        if figures.path != "/" && figures.waves == 1 {
            pages_per_second = figures.pages_per_second();
        }
        // Measured at the client: the front page is too fast for the resolution of the log.
        let p50 = percentile(&figures.load.latencies, 0.5).as_secs_f64();
        match bare.filter(|_| figures.path != "/") {
            Some(bare) => println!("{:13} {:>42.1}x", "to the front", p50 / bare),
            None => bare = Some(p50),
        }
    }
    println!("{:18} {:>23} {:>46}", "limits", format!("{MAX_SERVER_MS:.1}"), MAX_PAGE_BYTES);
    println!("\nThe clients, Postgres and web share this machine.");
    Ok(vec![BenchResult::new("pages_per_second", pages_per_second)])
}

/// Runs rounds of requests, each in the given number of waves within a second.
fn measure_page(
    web: &Service,
    path: &'static str,
    sessions: &[String],
    waves: usize,
) -> Result<PageLoadStats> {
    let before = server_durations_ms(web, path).len();
    let mut all: Option<LoadResult> = None;
    for _ in 0..OVERVIEW_ROUNDS {
        std::thread::sleep(ROUND_INTERVAL);
        for wave in sessions.chunks(sessions.len().div_ceil(waves)) {
            let one = load_page(web, path, wave)?;
            std::thread::sleep(
                Duration::from_secs(1).saturating_sub(one.elapsed * waves as u32) / waves as u32,
            );
            let mut sum = all.take().unwrap_or_default();
            sum.accepted += one.accepted;
            sum.elapsed += one.elapsed;
            sum.latencies.extend(one.latencies);
            sum.max_response_bytes = sum.max_response_bytes.max(one.max_response_bytes);
            all = Some(sum);
        }
    }
    let mut outcome = all.unwrap_or_default();
    outcome.latencies.sort_unstable();
    let mut server_ms = server_durations_ms(web, path).split_off(before);
    server_ms.sort_by(f64::total_cmp);
    Ok(PageLoadStats { path, waves, load: outcome, server_ms })
}

fn load_page(web: &Service, path: &str, sessions: &[String]) -> Result<LoadResult> {
    let request = |secret: &String| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", web.port);
        format!("{head}Accept-Encoding: gzip\r\nCookie: enablebot={secret}\r\n\r\n").into_bytes()
    };
    let outcome = load::run(
        web.port,
        sessions.iter().map(request).collect(),
        sessions.len(),
        OVERVIEW_RUN_TIMEOUT,
        None,
    )?;
    if outcome.rejected > 0 {
        bail!("{} of {} were not answered with {path}", outcome.rejected, sessions.len());
    }
    Ok(outcome)
}

/// Returns the durations that the service logged for a path.
fn server_durations_ms(web: &Service, path: &str) -> Vec<f64> {
    let message = format!("GET {path} 200");
    let lines = web.log_lines();
    let read = lines.iter().filter(|line| line.contains(&message));
    read.filter_map(|line| serde_json::from_str::<Value>(line).ok()?["duration_ms"].as_f64()).collect()
}

impl PageLoadStats {
    fn pages_per_second(&self) -> f64 {
        self.load.accepted as f64 / self.load.elapsed.as_secs_f64()
    }

    fn print(&self) {
        let server = [0.5, 0.99].map(|share| percentile(&self.server_ms, share));
        let seen = [0.5, 0.99].map(|share| percentile(&self.load.latencies, share).as_secs_f64() * 1e3);
        let a_second = self.pages_per_second();
        println!(
            "{:12} {:5} {:16.1} {:9.1} {:13.1} {:9.1} {a_second:9.0} {:8}",
            self.path, self.waves, server[0], server[1], seen[0], seen[1], self.load.max_response_bytes
        );
    }
}
