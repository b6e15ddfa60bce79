//! `cargo xtask test`: all that CI runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::binaries::Binaries;
use crate::cluster::{self, Cluster};
use crate::progress::step;
use crate::workspace::{self, cargo};
use crate::{arrows, layout, prepare, previous, tools};

/// A step's name, and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 10] = [
    ("tools", tools::install),
    ("format", format),
    ("lints", lints),
    ("documentation", documentation),
    ("dependencies", dependencies),
    ("crate arrows", arrows::check),
    ("layout", layout::check),
    ("offline queries", offline_queries),
    ("tests", tests),
    ("documentation tests", documentation_tests),
];

/// Runs every step, also after one has failed, so that one run tells all.
pub fn run() -> Result<()> {
    let mut ends = Vec::new();
    for (name, work) in STEPS {
        println!("\n── {name} ──");
        let began = Instant::now();
        let end = work();
        if let Err(error) = &end {
            println!("{error:#}");
        }
        ends.push((name, began.elapsed(), end.is_ok()));
    }
    summarize(&ends)
}

fn summarize(ends: &[(&str, Duration, bool)]) -> Result<()> {
    println!("\n── summary ──");
    for (name, took, passed) in ends {
        println!("{:6} {name:20} {:7.1} s", if *passed { "ok" } else { "FAILED" }, took.as_secs_f64());
    }
    let failed: Vec<&str> = ends.iter().filter(|(_, _, passed)| !passed).map(|(name, _, _)| *name).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format() -> Result<()> {
    workspace::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Result<()> {
    workspace::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    workspace::run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn dependencies() -> Result<()> {
    workspace::run(&mut cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

fn offline_queries() -> Result<()> {
    prepare::run(&prepare::Options { check: true })
}

/// The tests make databases of their own, and start the programs that are built here.
fn tests() -> Result<()> {
    Binaries::build_with_fail_points()?;
    previous::build()?;
    let folder = workspace::target().join("test/postgres");
    let options = cluster::Options { fsync: false, fresh: true };
    let cluster = step("starting Postgres", || Cluster::start(&folder, options))?;
    let url = cluster.url("postgres");
    let mut nextest = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    workspace::run(nextest.env("TEST_DATABASE_URL", &url).env("DATABASE_URL", &url))
}

/// Without an example in the documentation there is nothing to run, and it would still take its time.
fn documentation_tests() -> Result<()> {
    if !has_example(&workspace::root().join("crates"))? {
        println!("none.");
        return Ok(());
    }
    workspace::run(&mut cargo(&["test", "--workspace", "--doc"]))
}

fn has_example(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if has_example(&path)? {
                return Ok(true);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path)?;
            if text
                .lines()
                .any(|line| line.trim_start().starts_with("/// ```") || line.starts_with("//! ```"))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
