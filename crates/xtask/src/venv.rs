//! Programs of Python's, each in a virtual environment of the checkout.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::packages::{self, Need};
use crate::workspace::{self, run};

/// The programs of a package (`name==version`), which [`install`] has put there.
pub fn programs(package: &str) -> PathBuf {
    folder(package).join("bin")
}

/// Installs it if it is not there in this version.
pub fn install(package: &str) -> Result<()> {
    let folder = folder(package);
    let mark = folder.join(package);
    if mark.exists() {
        return Ok(());
    }
    println!("{package} is missing: installing it.");
    let make = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    if make().is_err() {
        packages::install(Need::Python)?;
        make()?;
    }
    run(Command::new(programs(package).join("pip")).args(["install", "--quiet", package]))?;
    Ok(std::fs::write(mark, "")?)
}

fn folder(package: &str) -> PathBuf {
    let name = package.split("==").next().unwrap_or(package);
    workspace::target().join(name)
}
