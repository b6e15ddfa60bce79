//! Schemathesis, which asks a service all that its description allows and forbids.

use std::path::PathBuf;

use anyhow::Result;

use crate::venv;

const PACKAGE: &str = "schemathesis==4.32.0";

/// Its program, which [`install`] has put there.
pub fn program() -> PathBuf {
    venv::programs(PACKAGE).join("schemathesis")
}

/// Installs it if it is not there in this version.
pub fn install() -> Result<()> {
    venv::install(PACKAGE)
}
