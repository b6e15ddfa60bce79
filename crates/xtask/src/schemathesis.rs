//! Schemathesis, which asks a service all that its description allows and forbids. It is a program of Python's, and is kept in
//! a virtual environment of the checkout.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::packages::{self, Need};
use crate::workspace::{self, run};

const PACKAGE: &str = "schemathesis==4.32.0";

/// Its program, which [`install`] has put there.
pub fn program() -> PathBuf {
    folder().join("bin/schemathesis")
}

/// Installs it if it is not there in this version.
pub fn install() -> Result<()> {
    let mark = folder().join(PACKAGE);
    if mark.exists() {
        return Ok(());
    }
    println!("{PACKAGE} is missing: installing it.");
    let make = |folder: &PathBuf| run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    if make(&folder()).is_err() {
        packages::install(Need::Python)?;
        make(&folder())?;
    }
    run(Command::new(folder().join("bin/pip")).args(["install", "--quiet", PACKAGE]))?;
    Ok(std::fs::write(mark, "")?)
}

fn folder() -> PathBuf {
    workspace::target().join("schemathesis")
}
