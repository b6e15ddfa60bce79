//! Packages of npm's that tests look with: as the lock files beside the tests have them. Nothing of them is in the checkout.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::system_packages::{self, SystemPackage};
use crate::workspace;

const LOCK_FILE: &str = "package-lock.json";

/// The `node_modules` of what `tests/<name>/package.json` wants, installed if it is not there as locked.
pub fn install(name: &str) -> Result<PathBuf> {
    let wanted = workspace::root().join("crates/xtask/tests").join(name);
    let folder = workspace::target().join(name);
    let modules = folder.join("node_modules");
    let _alone = workspace::lock_exclusively(name)?;
    // Written at the end, so that what broke off is begun again.
    let is_installed = modules.join(LOCK_FILE).is_file()
        && fs::read(wanted.join(LOCK_FILE))? == fs::read(modules.join(LOCK_FILE))?;
    if !is_installed {
        println!("{name} is missing: installing it.");
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
