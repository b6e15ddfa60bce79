//! Demo data: three months of two workspaces. A program of `db` writes it, since only `db` knows SQL.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::service::Variables;
use crate::workspace;

/// The workspace beside the simulated Slack's default one.
pub const SECOND_TEAM: &str = "T0BETA=Beta";

/// The workspaces with demo data.
pub const DEMO_TEAMS: [&str; 2] = ["T0ACME", "T0BETA"];

/// Fills the database that these variables name. Does nothing if it already has messages.
pub fn seed(variables: &Variables) -> Result<()> {
    run_seeder(variables, false, &[]).map(drop)
}

/// Fills the database, opens `count` dashboard sessions, and returns their secrets.
pub fn seed_with_sessions(variables: &Variables, count: usize) -> Result<Vec<String>> {
    let secrets = run_seeder(variables, true, &[&count.to_string()])?;
    Ok(secrets.lines().map(str::to_owned).collect())
}

fn run_seeder(variables: &Variables, release: bool, arguments: &[&str]) -> Result<String> {
    let mut cargo = workspace::cargo(&["run", "--quiet", "--package", "db", "--example", "demo"]);
    if release {
        cargo.arg("--release");
    }
    cargo.arg("--").args(arguments).stderr(Stdio::inherit());
    for name in ["DATABASE_URL", "ENCRYPTION_KEYS"] {
        cargo.env(name, variables.get(name).with_context(|| format!("{name} is not set"))?);
    }
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the database could not be filled ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
