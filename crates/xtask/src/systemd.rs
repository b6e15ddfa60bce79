//! The units of `deploy/systemd`, as systemd's own tools see them; no systemd has to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::free_port;
use crate::system_packages::{self, SystemPackage};
use crate::workspace;

/// An exposure of 1.5 of 10: what is left to say against a service is that it may use the network.
const EXPOSURE_THRESHOLD: &str = "--threshold=15";

/// Installs what is missing.
pub fn install() -> Result<()> {
    if cfg!(target_os = "linux") {
        system_packages::find_or_install(SystemPackage::Systemd)?;
    }
    Ok(())
}

/// A root file system with the units and what they name. Dropping it removes it.
#[derive(Debug)]
pub struct SystemdRoot(PathBuf);

impl SystemdRoot {
    /// The units are changed by `change`, which gets the name and the text of each.
    pub fn create(change: impl Fn(&str, String) -> String) -> Result<Self> {
        let name = format!("test/systemd-{}-{}", std::process::id(), free_port()?);
        let root = Self(workspace::target().join(name));
        let units = root.0.join("etc/systemd/system");
        for folder in [&units, &root.0.join("opt/enablebot"), &root.0.join("etc/enablebot")] {
            fs::create_dir_all(folder)?;
        }
        for service in ["api", "web"] {
            // It is only looked whether they are there.
            fs::copy("/bin/true", root.0.join("opt/enablebot").join(service))?;
            fs::write(root.0.join(format!("etc/enablebot/{service}.env")), "")?;
        }
        for (name, text) in list_units()? {
            let text = change(&name, text);
            fs::write(units.join(name), text)?;
        }
        Ok(root)
    }

    /// What `systemd-analyze verify` says against these units; nothing where all is well.
    pub fn verify(&self, units: &[&str]) -> Result<String> {
        self.analyze(&["--recursive-errors=no", "verify"], units)
    }

    /// What `systemd-analyze security` says where one of these units is too exposed.
    pub fn check_exposure(&self, units: &[&str]) -> Result<String> {
        self.analyze(&["--offline=yes", EXPOSURE_THRESHOLD, "security"], units)
    }

    fn analyze(&self, what: &[&str], units: &[&str]) -> Result<String> {
        let program = system_packages::find_or_install(SystemPackage::Systemd)?;
        let mut analyze = Command::new(program);
        analyze.arg("--man=no").arg("--no-pager").arg(format!("--root={}", self.0.display()));
        let told = analyze.args(what).args(units).output().context("systemd-analyze does not run")?;
        let errors = String::from_utf8_lossy(&told.stderr).into_owned();
        let report = if told.status.success() { "".into() } else { String::from_utf8_lossy(&told.stdout) };
        Ok(errors + &report)
    }
}

impl Drop for SystemdRoot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each unit's name and text.
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
