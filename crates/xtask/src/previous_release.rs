//! The programs of the commit before, for an upgrade from one release to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::binaries::Binaries;
use crate::workspace;

/// A commit that an upgrade is to begin from, else the one before.
const PREVIOUS_VARIABLE: &str = "PREVIOUS";

/// Builds what is upgraded from: what `PREVIOUS` names; what is committed, where the checkout differs from that; else the
/// commit before. A checkout that has no such commit, and cannot fetch it, has none: then there is only this release, and
/// that is said.
///
/// # Errors
/// The commit does not build, or there is no such.
pub fn build() -> Result<Option<Binaries>> {
    let Some(commit) = find_previous_commit()? else {
        eprintln!(
            "\nNo commit before this one is here, or to be had: the upgrade begins from this same release.\n"
        );
        return Ok(None);
    };
    let source = export_commit(&commit)?;
    let target = source.with_file_name("target");
    link_dependencies(&target)?;
    eprintln!("Building {}, the release before.", &commit[..10]);
    Binaries::build_in(&source, &target).map(Some)
}

fn find_previous_commit() -> Result<Option<String>> {
    if let Ok(named) = std::env::var(PREVIOUS_VARIABLE) {
        let known = git(&["rev-parse", "--verify", &format!("{named}^{{commit}}")]);
        return known.map(Some).with_context(|| format!("{PREVIOUS_VARIABLE} names no commit: {named}"));
    }
    if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        return git(&["rev-parse", "HEAD"]).map(Some);
    }
    let before = || git(&["rev-parse", "--verify", "--quiet", "HEAD~1"]).ok();
    // A clone may hold the last commit only.
    Ok(before().or_else(|| git(&["fetch", "--deepen=1"]).ok().and_then(|_| before())))
}

fn git(arguments: &[&str]) -> Result<String> {
    let printed = workspace::output(Command::new("git").args(arguments).current_dir(workspace::root()))?;
    Ok(printed.trim().to_owned())
}

/// Puts its files into a folder of their own: cargo tells what changed by the times of files, and those of a commit are its own.
fn export_commit(commit: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("previous");
    let source = folder.join(commit);
    if source.join("Cargo.toml").exists() {
        return Ok(source);
    }
    for old in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if old.file_name() != "target" {
            fs::remove_dir_all(old.path())?;
        }
    }
    let unfinished = folder.join("unfinished");
    fs::create_dir_all(&unfinished)?;
    let archive = folder.join("unfinished/source.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--output"]).arg(&archive).arg(commit);
    workspace::output(git.current_dir(workspace::root()))?;
    workspace::output(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&unfinished))?;
    fs::remove_file(archive)?;
    fs::rename(unfinished, &source)?;
    Ok(source)
}

/// What is not of the workspace is built already, and is the same: links to it take no time and no room.
fn link_dependencies(target: &Path) -> Result<()> {
    let (from, to) = (workspace::target().join("debug"), target.join("debug"));
    if to.exists() {
        return Ok(());
    }
    fs::create_dir_all(&to)?;
    for folder in ["build", "deps", ".fingerprint"] {
        let mut copy = Command::new("cp");
        workspace::output(copy.arg("-al").arg(from.join(folder)).arg(&to))?;
    }
    Ok(())
}
