//! `cargo xtask test`: all that CI runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::binaries::Binaries;
use crate::cluster::{self, Cluster};
use crate::progress::step;
use crate::workspace::{self, cargo};
use crate::{crate_deps, previous_release, repo_layout, sqlx_prepare, test_tools};

/// A step's name, and what it does.
type CiStep = (&'static str, fn() -> Result<()>);

const CI_STEPS: [CiStep; 10] = [
    ("tools", test_tools::install),
    ("format", check_format),
    ("lints", run_lints),
    ("documentation", build_documentation),
    ("dependencies", check_dependencies),
    ("crate arrows", crate_deps::check),
    ("layout", repo_layout::check),
    ("offline queries", check_offline_queries),
    ("tests", run_tests),
    ("documentation tests", run_documentation_tests),
];

/// Runs every step, also after one has failed, so that one run tells all.
pub fn run() -> Result<()> {
    let mut ends = Vec::new();
    for (name, work) in CI_STEPS {
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

fn check_format() -> Result<()> {
    workspace::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn run_lints() -> Result<()> {
    workspace::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn build_documentation() -> Result<()> {
    workspace::run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn check_dependencies() -> Result<()> {
    workspace::run(&mut cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

fn check_offline_queries() -> Result<()> {
    sqlx_prepare::run(&sqlx_prepare::PrepareOptions { check: true })
}

/// The tests make databases of their own, and start the programs that are built here.
fn run_tests() -> Result<()> {
    Binaries::build_with_fail_points()?;
    previous_release::build()?;
    let folder = workspace::target().join("test/postgres");
    let options = cluster::ClusterOptions { fsync: false, is_ephemeral: true };
    let cluster = step("starting Postgres", || Cluster::start(&folder, options))?;
    let url = cluster.url("postgres");
    let mut nextest = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    workspace::run(nextest.env("TEST_DATABASE_URL", &url).env("DATABASE_URL", &url))
}

/// Without an example in the documentation there is nothing to run, and it would still take its time.
fn run_documentation_tests() -> Result<()> {
    if !has_doc_example(&workspace::root().join("crates"))? {
        println!("none.");
        return Ok(());
    }
    workspace::run(&mut cargo(&["test", "--workspace", "--doc"]))
}

fn has_doc_example(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if has_doc_example(&path)? {
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
