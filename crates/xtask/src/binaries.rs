//! The workspace's programs, built by cargo.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// The folder of the programs that `cargo xtask test` has built. The tests' processes use them as they are:
/// asking cargo again would cost each of them a second of both processors.
pub const BUILT_PROGRAMS_VARIABLE: &str = "BUILT_PROGRAMS";

/// The path of each built program.
#[derive(Clone, Debug)]
pub struct Binaries {
    paths: BTreeMap<String, PathBuf>,
}

impl Binaries {
    /// Builds all programs; cargo shows its own progress.
    pub fn build(release: bool) -> Result<Self> {
        if let (false, Some(folder)) = (release, built_programs()) {
            return Self::find_in(&folder);
        }
        let mut cargo = cargo_build(&["--bins"]);
        if release {
            cargo.arg("--release");
        }
        Ok(Self { paths: run_cargo_build(cargo)? })
    }

    /// Builds the programs of another checkout.
    pub fn build_in(checkout: &Path, target: &Path) -> Result<Self> {
        let mut cargo = cargo_build(&["--bins"]);
        cargo.current_dir(checkout).env("CARGO_TARGET_DIR", target);
        Ok(Self { paths: run_cargo_build(cargo)? })
    }

    /// Builds all programs, with an `api` that has fail points.
    pub fn build_with_fail_points() -> Result<Self> {
        let mut built = Self::build(false)?;
        let with_fail_points = match built_programs() {
            Some(folder) => Some(folder.join("examples/fail_points")),
            None => {
                let build = cargo_build(&["--example", "fail_points", "--features", "api/fail-points"]);
                run_cargo_build(build)?.remove("fail_points")
            }
        };
        built.paths.extend(with_fail_points.map(|path| ("api".to_owned(), path)));
        Ok(built)
    }

    /// Finds the programs in a folder: files without an extension.
    fn find_in(folder: &Path) -> Result<Self> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let files = entries.flatten().map(|entry| entry.path());
        let programs = files.filter(|path| path.is_file() && path.extension().is_none());
        let named = programs.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path.clone())));
        Ok(Self { paths: named.collect() })
    }

    /// Returns the path of one program.
    pub fn path(&self, name: &str) -> Result<&Path> {
        let path = self.paths.get(name).with_context(|| format!("the workspace has no program `{name}`"))?;
        Ok(path)
    }
}

fn built_programs() -> Option<PathBuf> {
    std::env::var_os(BUILT_PROGRAMS_VARIABLE).map(PathBuf::from)
}

/// A `cargo build` of the workspace without xtask, whose program is running.
fn cargo_build(what: &[&str]) -> Command {
    let mut cargo = workspace::cargo(&["build", "--workspace", "--exclude", "xtask"]);
    cargo.args(what).arg("--message-format=json-render-diagnostics");
    cargo
}

fn run_cargo_build(mut cargo: Command) -> Result<BTreeMap<String, PathBuf>> {
    let build = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !build.status.success() {
        bail!("cargo could not build the programs");
    }
    Ok(parse_executables(&String::from_utf8_lossy(&build.stdout)))
}

fn parse_executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter_map(|message| {
        let name = message["target"]["name"].as_str()?.to_owned();
        Some((name, message["executable"].as_str()?.into()))
    });
    programs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_parsed_from_cargo_output() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"db"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"web"},"executable":"/t/web"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(parse_executables(messages), BTreeMap::from([("web".to_owned(), "/t/web".into())]));
    }
}
