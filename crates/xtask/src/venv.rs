//! Programs of Python's, each in a virtual environment of the checkout.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::system_packages::{self, SystemPackage};
use crate::workspace::{self, run};

/// The folder with the programs of a package (`name==version`), installed if it is not there in this version.
pub fn install(package: &str) -> Result<PathBuf> {
    install_with(package, &[])
}

/// The same, with other packages that it needs for what it is used for here.
pub fn install_with(package: &str, others: &[&str]) -> Result<PathBuf> {
    let folder = workspace::target().join(package_name(package));
    let programs = folder.join("bin");
    let mark = folder.join(package);
    let _alone = workspace::lock_exclusively(package_name(package))?;
    if mark.exists() {
        return Ok(programs);
    }
    println!("{package} is missing: installing it.");
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
