//! Checks the entries of the root and the length of files.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The visible entries of the root. Hidden ones belong to tools.
const ROOT_ENTRIES: [&str; 13] = [
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
    "findings",
    "migrations",
];

/// The length limit of a source file under `crates/`. A longer one should be split.
const MAX_FILE_LINES: usize = 350;

const SOURCE_EXTENSIONS: [&str; 4] = [".rs", ".js", ".css", ".html"];

/// Fails unless the root contains exactly the expected entries.
pub fn check_root() -> Result<()> {
    let files = list_files()?;
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let faults = list_root_faults(&names);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("{} files, no unexpected entry in the root", files.len());
    Ok(())
}

/// Fails and lists the source files that are too long.
pub fn check_file_lengths() -> Result<()> {
    let mut files = list_files()?;
    files.retain(|file| {
        file.starts_with("crates/") && SOURCE_EXTENSIONS.iter().any(|extension| file.ends_with(extension))
    });
    let mut faults = Vec::new();
    for file in &files {
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
    println!("{} source files, none longer than {MAX_FILE_LINES} lines.", files.len());
    Ok(())
}

/// Lists the files that git knows or would add.
fn list_files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
    let files = workspace::output(git.current_dir(workspace::root()))?;
    Ok(files.lines().filter(|file| workspace::root().join(file).exists()).map(str::to_owned).collect())
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
