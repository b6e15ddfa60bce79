//! Python programs, each in its own virtual environment under the target folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::system_packages::{self, SystemPackage};
use crate::workspace::{self, run};

/// Returns the folder with the programs of a package (`name==version`). Installs this version if it is
/// missing.
pub fn install(package: &str) -> Result<PathBuf> {
    install_with(package, &[])
}

/// Like [`install`], with additional packages.
pub fn install_with(package: &str, others: &[&str]) -> Result<PathBuf> {
    let folder = workspace::target().join(package_name(package));
    let programs = folder.join("bin");
    let mark = folder.join(package);
    let _alone = workspace::lock_exclusively(package_name(package))?;
    if mark.exists() {
        return Ok(programs);
    }
    println!("installing {package}");
    let make = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    if make().is_err() {
        system_packages::install(SystemPackage::Python)?;
        make()?;
    }
    run(Command::new(programs.join("pip")).args(["install", "--quiet", package]).args(others))?;
    std::fs::write(mark, "")?;
    Ok(programs)
}

fn package_name(package: &str) -> &str {
    package.split("==").next().unwrap_or(package)
}
