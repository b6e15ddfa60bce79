//! The files of `deploy/railway`, held against the types that Railway's own SDK has for them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::free_port;
use crate::{npm, workspace};

/// Installs what is missing.
pub fn install() -> Result<()> {
    npm::install("railway").map(drop)
}

/// What the TypeScript compiler says against a service's configuration, a line each.
pub fn faults(json: &str) -> Result<Vec<String>> {
    let modules = npm::install("railway")?;
    let name = format!("railway/check-{}-{}.ts", std::process::id(), free_port()?);
    let file = workspace::target().join(name);
    // A literal may have no field that its type does not name.
    let types = "import type { BuildConfig, DeployConfig } from \"railway/iac\";\n\
                 export const service: { $schema: string; build: BuildConfig; deploy: DeployConfig } = ";
    fs::write(&file, format!("{types}{json}"))?;
    let mut compiler = Command::new(modules.join(".bin/tsc"));
    compiler.args(["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]);
    let told = compiler.arg(&file).output().context("the TypeScript compiler does not run")?;
    fs::remove_file(&file)?;
    let told = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok(told.lines().map(str::to_owned).collect())
}
