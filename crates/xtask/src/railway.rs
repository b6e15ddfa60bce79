//! The files of `deploy/railway`, checked against the types of Railway's own SDK.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::free_port;
use crate::npm;

/// Installs the compiler and the SDK if they are missing.
pub fn install() -> Result<()> {
    npm::install("railway").map(drop)
}

/// Returns the TypeScript compiler's errors in service configurations, one per line. Each line begins with
/// the index of the configuration in the list, such as `0.ts`.
pub fn list_type_errors(configurations: &[&str]) -> Result<Vec<String>> {
    let modules = npm::install("railway")?;
    // The compiler finds the modules only from beside them.
    let folder = modules.with_file_name(format!("check-{}-{}", std::process::id(), free_port()?));
    fs::create_dir_all(&folder)?;
    // A literal may have no field that its type does not declare.
    let types = "import type { BuildConfig, DeployConfig } from \"railway/iac\";\n\
                 export const service: { $schema: string; build: BuildConfig; deploy: DeployConfig } = ";
    let mut compiler = Command::new(modules.join(".bin/tsc"));
    compiler.args(["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]);
    for (place, json) in configurations.iter().enumerate() {
        let name = format!("{place}.ts");
        fs::write(folder.join(&name), format!("{types}{json}"))?;
        compiler.arg(name);
    }
    let output = compiler.current_dir(&folder).output().context("cannot run the TypeScript compiler")?;
    fs::remove_dir_all(&folder)?;
    let output =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok(output.lines().map(str::to_owned).collect())
}
