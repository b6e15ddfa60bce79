//! The files of `deploy/railway`, held against the types that Railway's own SDK has for them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::free_port;
use crate::npm;

/// Installs what is missing.
pub fn install() -> Result<()> {
    npm::install("railway").map(drop)
}

/// What the TypeScript compiler says against the configurations of services, a line each that begins with the place of the
/// configuration in the list, as `0.ts`.
pub fn list_type_errors(configurations: &[&str]) -> Result<Vec<String>> {
    let modules = npm::install("railway")?;
    // Beside the modules, where it finds them.
    let folder = modules.with_file_name(format!("check-{}-{}", std::process::id(), free_port()?));
    fs::create_dir_all(&folder)?;
    // A literal may have no field that its type does not name.
    let types = "import type { BuildConfig, DeployConfig } from \"railway/iac\";\n\
                 export const service: { $schema: string; build: BuildConfig; deploy: DeployConfig } = ";
    let mut compiler = Command::new(modules.join(".bin/tsc"));
    compiler.args(["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]);
    for (place, json) in configurations.iter().enumerate() {
        let name = format!("{place}.ts");
        fs::write(folder.join(&name), format!("{types}{json}"))?;
        compiler.arg(name);
    }
    let told = compiler.current_dir(&folder).output().context("the TypeScript compiler does not run")?;
    fs::remove_dir_all(&folder)?;
    let told = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok(told.lines().map(str::to_owned).collect())
}
