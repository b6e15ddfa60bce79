//! What the root holds, and how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// All that the root shows; what is hidden is the tools' own.
const ROOT_ENTRIES: [&str; 12] = [
    ".env.api.example",
    ".env.web.example",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SCALING.md",
    "SECURITY.md",
    "crates",
    "deploy",
    "docker",
    "migrations",
];

/// Longer than this, a source file is two files.
const MAX_FILE_LINES: usize = 400;

const SOURCE_EXTENSIONS: [&str; 4] = [".rs", ".js", ".css", ".html"];

/// Fails unless the files that git knows, or would take, keep the layout.
pub fn check() -> Result<()> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
    let files = workspace::output(git.current_dir(workspace::root()))?;
    let files: Vec<&str> = files.lines().filter(|file| workspace::root().join(file).exists()).collect();
    let mut faults = list_root_faults(&files);
    for file in files.iter().filter(|file| SOURCE_EXTENSIONS.iter().any(|ending| file.ends_with(ending))) {
        let text = fs::read_to_string(workspace::root().join(file))
            .with_context(|| format!("cannot read {file}"))?;
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            faults.push(format!("{file} has {lines} lines, more than {MAX_FILE_LINES}"));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("{} files, all in their place.", files.len());
    Ok(())
}

fn list_root_faults(files: &[&str]) -> Vec<String> {
    let entries: BTreeSet<&str> = files.iter().filter_map(|file| file.split('/').next()).collect();
    let surplus = entries.iter().filter(|entry| !entry.starts_with('.') && !ROOT_ENTRIES.contains(entry));
    let missing = ROOT_ENTRIES.iter().filter(|entry| !entries.contains(*entry));
    let surplus = surplus.map(|entry| format!("`{entry}` does not belong in the root"));
    surplus.chain(missing.map(|entry| format!("the root lacks `{entry}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_matches_its_list() {
        let mut files = ROOT_ENTRIES.to_vec();
        files.extend([".cargo/config.toml", "crates/db/Cargo.toml"]);
        assert!(list_root_faults(&files).is_empty());
        files.push("notes.txt");
        assert_eq!(list_root_faults(&files), ["`notes.txt` does not belong in the root"]);
        assert_eq!(list_root_faults(&files[1..files.len() - 1]), ["the root lacks `.env.api.example`"]);
    }
}
