//! Schemathesis, which tests a service with everything that its API description allows and forbids.

use std::path::PathBuf;

use anyhow::Result;

use crate::venv;

/// Returns the path of its program. Installs it if it is missing.
pub fn find_or_install() -> Result<PathBuf> {
    Ok(venv::install("schemathesis==4.32.0")?.join("schemathesis"))
}
