//! The units of `deploy/systemd`, checked by systemd's own tools. systemd need not be running.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::free_port;
use crate::system_packages::{self, SystemPackage};
use crate::workspace;

/// An exposure of 1.5 out of 10; the remainder is mostly the network access that a service needs.
const EXPOSURE_THRESHOLD: &str = "--threshold=15";

/// Installs systemd's tools if they are missing.
pub fn install() -> Result<()> {
    if cfg!(target_os = "linux") {
        system_packages::find_or_install(SystemPackage::Systemd)?;
    }
    Ok(())
}

/// A root file system with the units and the files that they name. Dropping it deletes it.
#[derive(Debug)]
pub struct SystemdRoot(PathBuf);

impl SystemdRoot {
    /// Creates the root. `change` gets the name and the text of each unit and returns the text to write.
    pub fn create(change: impl Fn(&str, String) -> String) -> Result<Self> {
        let name = format!("test/systemd-{}-{}", std::process::id(), free_port()?);
        let root = Self(workspace::target().join(name));
        let units = root.0.join("etc/systemd/system");
        for folder in [&units, &root.0.join("opt/enablebot"), &root.0.join("etc/enablebot")] {
            fs::create_dir_all(folder)?;
        }
        for service in ["api", "web"] {
            // systemd only checks that they exist.
            fs::copy("/bin/true", root.0.join("opt/enablebot").join(service))?;
            fs::write(root.0.join(format!("etc/enablebot/{service}.env")), "")?;
        }
        for (name, text) in list_units()? {
            let text = change(&name, text);
            fs::write(units.join(name), text)?;
        }
        Ok(root)
    }

    /// Returns the output of `systemd-analyze verify` for these units; empty if they are correct.
    pub fn verify(&self, units: &[&str]) -> Result<String> {
        self.analyze(&["--recursive-errors=no", "verify"], units)
    }

    /// Returns the output of `systemd-analyze security` if one of these units is too exposed.
    pub fn check_exposure(&self, units: &[&str]) -> Result<String> {
        self.analyze(&["--offline=yes", EXPOSURE_THRESHOLD, "security"], units)
    }

    fn analyze(&self, what: &[&str], units: &[&str]) -> Result<String> {
        let program = system_packages::find_or_install(SystemPackage::Systemd)?;
        let mut analyze = Command::new(program);
        analyze.arg("--man=no").arg("--no-pager").arg(format!("--root={}", self.0.display()));
        let output = analyze.args(what).args(units).output().context("cannot run systemd-analyze")?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let report =
            if output.status.success() { "".into() } else { String::from_utf8_lossy(&output.stdout) };
        Ok(errors + &report)
    }
}

impl Drop for SystemdRoot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lists the name and text of each unit.
pub fn list_units() -> Result<Vec<(String, String)>> {
    let folder = workspace::root().join("deploy/systemd");
    let mut units = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "service" || ending == "target") {
            units.push((file_name(&path), fs::read_to_string(&path)?));
        }
    }
    Ok(units)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
