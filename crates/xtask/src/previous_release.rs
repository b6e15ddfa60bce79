//! Builds the programs of the previous commit, to test an upgrade from one release to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::binaries::Binaries;
use crate::workspace;

/// The commit to upgrade from, instead of the previous one.
const PREVIOUS_VARIABLE: &str = "PREVIOUS";

/// Builds the release to upgrade from: the commit that `PREVIOUS` names; `HEAD`, if the checkout has
/// uncommitted changes; else the commit before. Returns none, and prints so, if the checkout has no such
/// commit and cannot fetch it.
pub fn build() -> Result<Option<Binaries>> {
    let Some(commit) = find_previous_commit()? else {
        eprintln!("\nno previous commit in this checkout or its remote: upgrading from this same release\n");
        return Ok(None);
    };
    if !shares_baseline(&commit)? {
        eprintln!(
            "\nThe migrations begin with a new baseline since {}: the upgrade begins from this same release.\n",
            &commit[..10]
        );
        return Ok(None);
    }
    let source = export_commit(&commit)?;
    let target = source.with_file_name("target");
    link_dependencies(&target)?;
    eprintln!("building the previous release, {}", &commit[..10]);
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
    // A shallow clone may contain only the last commit.
    Ok(before().or_else(|| git(&["fetch", "--deepen=1"]).ok().and_then(|_| before())))
}

/// Returns whether every migration of the commit is in this checkout, unchanged. Otherwise its database cannot
/// be upgraded.
fn shares_baseline(commit: &str) -> Result<bool> {
    let listed = git(&["ls-tree", "--name-only", commit, "migrations/"])?;
    for path in listed.lines().filter(|path| path.ends_with(".sql")) {
        let before = git(&["rev-parse", &format!("{commit}:{path}")])?;
        let is_same = workspace::root().join(path).exists() && git(&["hash-object", path])? == before;
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn git(arguments: &[&str]) -> Result<String> {
    let printed = workspace::output(Command::new("git").args(arguments).current_dir(workspace::root()))?;
    Ok(printed.trim().to_owned())
}

/// Exports the commit into its own folder: cargo detects changes by file times, and an export keeps those of
/// the commit.
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
    workspace::export_commit(commit, &unfinished)?;
    fs::rename(unfinished, &source)?;
    Ok(source)
}

/// Links the dependencies that are already built. They are the same, and links take no time and no space.
fn link_dependencies(target: &Path) -> Result<()> {
    let (from, to) = (workspace::target().join("debug"), target.join("debug"));
    if to.exists() {
        return Ok(());
    }
    fs::create_dir_all(&to)?;
    for folder in ["build", "deps", ".fingerprint"] {
        let mut copy = Command::new("cp");
        workspace::output(copy.arg("-al").arg(from.join(folder)).arg(&to))?;
        remove_own_crates(&to.join(folder))?;
    }
    Ok(())
}

/// Removes the results of the project's own crates.
///
/// Cargo names them by path within the workspace and compares times of files, so it would take today's programs
/// for those of the commit, whose files are older.
fn remove_own_crates(folder: &Path) -> Result<()> {
    let crates = fs::read_dir(workspace::root().join("crates"))?.flatten();
    let own: Vec<String> = crates.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let Some((krate, _)) = name.rsplit_once('-') else { continue };
        if !own.iter().any(|own| own == krate.strip_prefix("lib").unwrap_or(krate)) {
            continue;
        }
        match path.is_dir() {
            true => fs::remove_dir_all(&path)?,
            false => fs::remove_file(&path)?,
        }
    }
    Ok(())
}
