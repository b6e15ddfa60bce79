//! `cargo xtask test`: everything that CI runs, or only some tests with what they need.

mod step_times;

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::step_times::{StepTimes, display_duration};
use crate::binaries::{BUILT_PROGRAMS_VARIABLE, Binaries};
use crate::cluster::{self, Cluster};
use crate::progress::step;
use crate::workspace::{self, cargo};
use crate::{
    crate_deps, import_cycles, language_check, previous_release, repo_layout, sqlx_prepare, test_tools,
};

/// A part of the run.
struct CiStep {
    name: &'static str,
    /// A short description for the person who waits.
    description: &'static str,
    /// Seconds it takes on two cores, until a run has measured it.
    usual_seconds: u64,
    run: fn(&TestOptions) -> Result<()>,
}

const fn ci_step(
    name: &'static str,
    usual_seconds: u64,
    description: &'static str,
    run: fn(&TestOptions) -> Result<()>,
) -> CiStep {
    CiStep { name, description, usual_seconds, run }
}

const CI_STEPS: [CiStep; 15] = [
    ci_step("tools", 10, "install the programs that tests use, where missing", |_| test_tools::install()),
    ci_step("format", 5, "rustfmt", |_| check_format()),
    ci_step("crate arrows", 1, "crates import only what the table allows", |_| crate_deps::check()),
    ci_step("layout", 1, "entries of the root", |_| repo_layout::check_root()),
    ci_step("file lengths", 1, "no source file above 350 lines", |_| repo_layout::check_file_lengths()),
    ci_step("import cycles", 1, "files of a crate that import each other", |_| import_cycles::check()),
    ci_step("language", 1, "doc comments and names", |_| language_check::check()),
    ci_step("dependencies", 5, "cargo deny: licences and sources", |_| check_dependencies()),
    ci_step("lints", 300, "compile everything with clippy", |_| run_lints()),
    ci_step("documentation", 120, "build with rustdoc", |_| build_documentation()),
    ci_step("offline queries", 90, "compare .sqlx with a real database", |_| check_offline_queries()),
    BUILD_STEP,
    ci_step("previous release", 240, "build the commit before, to test upgrades", |_| {
        build_previous_release()
    }),
    TEST_STEP,
    ci_step("documentation tests", 1, "examples in doc comments", |_| run_documentation_tests()),
];

const BUILD_STEP: CiStep = ci_step("programs", 240, "build api, web and the simulator", |_| {
    Binaries::build_with_fail_points().map(drop)
});

const TEST_STEP: CiStep = ci_step("tests", 1200, "build the tests, start Postgres, run the tests", run_tests);

/// Seconds for building the tests and running a few of them.
const USUAL_FILTERED_SECONDS: u64 = 120;

/// Steps of a run with a filter.
const FILTERED_STEPS: [&CiStep; 3] = [&CI_STEPS[0], &BUILD_STEP, &TEST_STEP];

/// Options of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub struct TestOptions {
    /// Run only tests whose name contains this, or that match this nextest expression: `test(queue::)`.
    filter: Option<String>,
    /// Build and run only the tests of this crate.
    #[arg(long, short)]
    package: Option<String>,
    /// Run only this step.
    #[arg(long, conflicts_with_all = ["filter", "package"])]
    step: Option<String>,
}

impl TestOptions {
    fn steps(&self) -> Result<Vec<&'static CiStep>> {
        if let Some(name) = &self.step {
            let Some(step) = CI_STEPS.iter().find(|step| step.name == name) else {
                let names: Vec<&str> = CI_STEPS.iter().map(|step| step.name).collect();
                bail!("no step is called {name:?}. The steps: {}", names.join(", "));
            };
            // The tests use the built programs as they are, so these must be today's.
            let build = (step.name == TEST_STEP.name).then_some(&BUILD_STEP);
            return Ok(build.into_iter().chain([step]).collect());
        }
        if self.filter.is_some() || self.package.is_some() {
            return Ok(FILTERED_STEPS.to_vec());
        }
        Ok(CI_STEPS.iter().collect())
    }

    /// Returns the arguments for nextest.
    fn nextest_arguments(&self) -> Vec<&str> {
        let mut arguments = vec!["nextest", "run", "--no-fail-fast"];
        match &self.package {
            Some(package) => arguments.extend(["--package", package]),
            None => arguments.push("--workspace"),
        }
        match self.filter.as_deref() {
            Some(expression) if expression.contains('(') => arguments.extend(["--filterset", expression]),
            Some(text) => arguments.push(text),
            None => (),
        }
        arguments
    }
}

/// Runs every step, also after one has failed, so that one run reports all faults.
pub fn run(options: &TestOptions) -> Result<()> {
    let steps = options.steps()?;
    let mut times = StepTimes::load();
    let estimates: Vec<Duration> = steps.iter().map(|step| estimate(&times, options, step)).collect();
    if steps.len() > 1 {
        print_plan(&steps, &estimates, times.is_empty());
    }
    let mut ends = Vec::new();
    for (index, (step, estimate)) in steps.iter().zip(&estimates).enumerate() {
        let (number, count) = (index + 1, steps.len());
        println!(
            "\n── {number}/{count} {}: {} (about {}) ──",
            step.name,
            step.description,
            display_duration(*estimate)
        );
        let began = Instant::now();
        let end = (step.run)(options);
        if let Err(error) = &end {
            println!("{error:#}");
        }
        let took = began.elapsed();
        let word = if end.is_ok() { "done" } else { "FAILED" };
        println!("── {number}/{count} {}: {word} after {} ──", step.name, display_duration(took));
        if end.is_ok() {
            times.record(time_key(options, step), took);
        }
        ends.push((step.name, took, end.is_ok()));
    }
    times.save()?;
    summarize(&ends)
}

/// Returns the name under which a step's time is kept: a run with a filter takes less than a whole one.
fn time_key(options: &TestOptions, step: &CiStep) -> String {
    if is_filtered(options, step) { format!("{} (filtered)", step.name) } else { step.name.to_owned() }
}

fn is_filtered(options: &TestOptions, step: &CiStep) -> bool {
    step.name == TEST_STEP.name && (options.filter.is_some() || options.package.is_some())
}

/// Returns the time that the step took in its last run, else its usual time.
fn estimate(times: &StepTimes, options: &TestOptions, step: &CiStep) -> Duration {
    let usual = if is_filtered(options, step) { USUAL_FILTERED_SECONDS } else { step.usual_seconds };
    times.get(&time_key(options, step)).unwrap_or(Duration::from_secs(usual))
}

fn print_plan(steps: &[&CiStep], estimates: &[Duration], is_first_run: bool) {
    println!("{} steps, about {}.", steps.len(), display_duration(estimates.iter().sum()));
    if is_first_run {
        println!("The first run also compiles all dependencies: allow 15 minutes more.");
    }
    for (index, (step, estimate)) in steps.iter().zip(estimates).enumerate() {
        println!(
            "{:3}. {:20} {:>8}  {}",
            index + 1,
            step.name,
            display_duration(*estimate),
            step.description
        );
    }
    println!("One test:  cargo xtask test NAME            (part of its name, or 'test(queue::)')");
    println!("One crate: cargo xtask test --package e2e   One step: cargo xtask test --step lints");
}

fn summarize(ends: &[(&str, Duration, bool)]) -> Result<()> {
    println!("\n── summary ──");
    for (name, took, passed) in ends {
        println!("{:6} {name:20} {:>8}", if *passed { "ok" } else { "FAILED" }, display_duration(*took));
    }
    println!("{:6} {:20} {:>8}", "", "all", display_duration(ends.iter().map(|(_, took, _)| *took).sum()));
    let failed: Vec<&str> = ends.iter().filter(|(_, _, passed)| !passed).map(|(name, _, _)| *name).collect();
    if !failed.is_empty() {
        if failed.contains(&TEST_STEP.name) {
            println!("Run one failed test again with `cargo xtask test NAME`.");
        }
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

fn build_previous_release() -> Result<()> {
    previous_release::build().map(drop)
}

/// Runs the tests. They create their own databases, in a Postgres that ends with this step.
fn run_tests(options: &TestOptions) -> Result<()> {
    let folder = workspace::target().join("test/postgres");
    let cluster_options = cluster::ClusterOptions { fsync: false, is_ephemeral: true };
    let cluster = step("starting Postgres", || Cluster::start(&folder, cluster_options))?;
    let url = cluster.url("postgres");
    let mut nextest = cargo(&options.nextest_arguments());
    nextest.args(["--test-threads", &test_threads().to_string()]);
    nextest.env(BUILT_PROGRAMS_VARIABLE, workspace::target().join("debug"));
    workspace::run(nextest.env("TEST_DATABASE_URL", &url).env("DATABASE_URL", &url))
}

/// Returns how many tests run at once: half as many again as processors, since end-to-end tests mostly wait.
fn test_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
    processors + processors.div_ceil(2)
}

/// Runs the examples in doc comments. Skipped if there are none, since cargo would still compile for a while.
fn run_documentation_tests() -> Result<()> {
    if !has_doc_example(&workspace::root().join("crates"))? {
        println!("no doc comment has an example");
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
            let is_example =
                |line: &str| line.trim_start().starts_with("/// ```") || line.starts_with("//! ```");
            if fs::read_to_string(&path)?.lines().any(is_example) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_selects_tests_and_their_steps() {
        let part = TestOptions { filter: Some("queue".into()), ..TestOptions::default() };
        let names: Vec<&str> = part.steps().expect("steps").iter().map(|step| step.name).collect();
        assert_eq!(names, ["tools", "programs", "tests"]);
        assert_eq!(part.nextest_arguments()[3..], ["--workspace", "queue"]);
        let expression =
            TestOptions { filter: Some("test(queue::)".into()), package: Some("e2e".into()), step: None };
        assert_eq!(expression.nextest_arguments()[3..], ["--package", "e2e", "--filterset", "test(queue::)"]);
    }

    #[test]
    fn one_step_is_run_by_name() {
        let options = |name: &str| TestOptions { step: Some(name.into()), ..TestOptions::default() };
        assert_eq!(options("lints").steps().expect("a step").len(), 1);
        let names: Vec<&str> =
            options("tests").steps().expect("steps").iter().map(|step| step.name).collect();
        assert_eq!(names, ["programs", "tests"]);
        let error = options("lint").steps().err().expect("no such step").to_string();
        assert!(error.contains("offline queries"), "{error}");
    }
}
