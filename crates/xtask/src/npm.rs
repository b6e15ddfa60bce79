//! npm packages that the tests use, installed as locked in the files beside the tests. None is in the
//! checkout.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::system_packages::{self, SystemPackage};
use crate::workspace;

const LOCK_FILE: &str = "package-lock.json";

/// Returns the `node_modules` for `e2e/tests/<name>/package.json`. Installs them if they are not there as
/// locked.
pub fn install(name: &str) -> Result<PathBuf> {
    let wanted = workspace::root().join("crates/e2e/tests").join(name);
    let folder = workspace::target().join(name);
    let modules = folder.join("node_modules");
    let _alone = workspace::lock_exclusively(name)?;
    // The lock file is copied last, so that an interrupted installation is repeated.
    let is_installed = modules.join(LOCK_FILE).is_file()
        && fs::read(wanted.join(LOCK_FILE))? == fs::read(modules.join(LOCK_FILE))?;
    if !is_installed {
        println!("installing {name}");
        let npm = system_packages::find_or_install(SystemPackage::Node)?;
        fs::create_dir_all(&folder)?;
        for file in ["package.json", LOCK_FILE] {
            fs::copy(wanted.join(file), folder.join(file))?;
        }
        let mut install = Command::new(npm);
        install.args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--omit=optional",
            "--legacy-peer-deps",
        ]);
        workspace::run(install.current_dir(&folder))?;
        fs::copy(wanted.join(LOCK_FILE), modules.join(LOCK_FILE))?;
    }
    Ok(modules)
}
