//! Tools that the tests need besides cargo and Postgres.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::postgres::PostgresPrograms;
use crate::system_packages::{self, SystemPackage};
use crate::workspace::{self, find_program};
use crate::{compose, images, kubernetes, npm, railway, schemathesis, systemd, venv};

const BROWSER_PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Installs all tools that are missing.
pub fn install() -> Result<()> {
    for tool in ["nextest", "deny"] {
        if !has_cargo_tool(tool) {
            println!("installing cargo-{tool}");
            // An unoptimized build takes a minute, and these tools need not be fast.
            let package = format!("cargo-{tool}");
            workspace::run(&mut workspace::cargo(&["install", "--locked", "--debug", &package]))?;
        }
    }
    PostgresPrograms::find_or_install()?;
    let needs = [
        SystemPackage::PgBouncer,
        SystemPackage::Redis,
        SystemPackage::Rclone,
        SystemPackage::Shellcheck,
        SystemPackage::Prometheus,
        SystemPackage::Blackbox,
    ];
    for need in needs {
        system_packages::find_or_install(need)?;
    }
    if !has_browser() {
        system_packages::install(SystemPackage::Browser)?;
    }
    find_or_install_axe()?;
    schemathesis::find_or_install()?;
    kubernetes::install()?;
    railway::install()?;
    systemd::install()?;
    find_or_install_s3_server()?;
    compose::install()?;
    images::install()
}

/// An S3 server for backups. All of moto would be twice as large as its S3 part.
pub fn find_or_install_s3_server() -> Result<PathBuf> {
    let others = ["flask==3.1.3", "flask-cors==6.0.5", "py-partiql-parser==0.6.3", "PyYAML==6.0.4"];
    Ok(venv::install_with("moto==5.2.5", &others)?.join("moto_server"))
}

/// The axe script, which finds accessibility faults in a page.
pub fn find_or_install_axe() -> Result<PathBuf> {
    Ok(npm::install("axe")?.join("axe-core/axe.min.js"))
}

fn has_cargo_tool(name: &str) -> bool {
    workspace::cargo(&[name, "--version"]).output().is_ok_and(|output| output.status.success())
}

fn has_browser() -> bool {
    let application = "/Applications/Chromium.app";
    let browser = BROWSER_PROGRAMS.iter().any(|name| find_program(name).is_some());
    let browser = browser || std::path::Path::new(application).exists();
    let driver = Command::new("chromedriver").arg("--version").output();
    browser && driver.is_ok_and(|output| output.status.success())
}
