//! The time from a process' start until it is ready, and its memory then.

use std::time::Duration;

use anyhow::Result;

use super::results::BenchResult;
use crate::binaries::Binaries;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::service::Service;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::statistics::percentile;
use crate::workspace;

const START_ROUNDS: usize = 5;
/// A service counts as idle after this time.
const START_SETTLE_TIME: Duration = Duration::from_secs(3);
/// The memory limit of an idle service in MiB.
const MAX_IDLE_MIB: f64 = 32.0;

/// Starts each service a few times.
pub(super) fn run(binaries: &Binaries) -> Result<Vec<BenchResult>> {
    let folder = workspace::target().join("bench/postgres");
    let options = ClusterOptions { fsync: true, is_ephemeral: true };
    let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
    let web = step("starting web", || measure_starts(|| stack.start_web(&[])))?;
    let api = step("starting api", || measure_starts(|| stack.start_api(&[])))?;
    println!("\nservice  figure                 min    median       max     limit");
    let mut figures = Vec::new();
    for (name, figure, starts) in [("web", "web_idle", web), ("api", "api_idle", api)] {
        let mut idle: Vec<f64> = starts.iter().map(|start| start.idle_mib).collect();
        idle.sort_by(f64::total_cmp);
        figures.push(BenchResult::new(figure, percentile(&idle, 0.5)));
        print_row(name, "ready after, ms", starts.iter().map(|start| start.ready_ms), "");
        print_row(
            name,
            "idle memory, MiB",
            starts.iter().map(|start| start.idle_mib),
            &format!("{MAX_IDLE_MIB:9.0}"),
        );
    }
    Ok(figures)
}

struct StartSample {
    ready_ms: f64,
    idle_mib: f64,
}

fn measure_starts(start: impl Fn() -> Result<Service>) -> Result<Vec<StartSample>> {
    let once = |_| {
        let mut service = start()?;
        std::thread::sleep(START_SETTLE_TIME);
        let idle_mib = service.resident_bytes()? as f64 / f64::from(1 << 20);
        let ready_ms = service.ready_after().as_secs_f64() * 1e3;
        service.stop()?;
        Ok(StartSample { ready_ms, idle_mib })
    };
    (0..START_ROUNDS).map(once).collect()
}

fn print_row(service: &str, what: &str, values: impl Iterator<Item = f64>, limit: &str) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let [min, median, max] = [0.0, 0.5, 1.0].map(|share| percentile(&sorted, share));
    println!("{service:8} {what:17} {min:9.1} {median:9.1} {max:9.1} {limit}");
}
