//! Schemathesis, which asks a service all that its description allows and forbids.

use std::path::PathBuf;

use anyhow::Result;

use crate::venv;

/// Its program, installed if it is missing.
pub fn find_or_install() -> Result<PathBuf> {
    Ok(venv::install("schemathesis==4.32.0")?.join("schemathesis"))
}
