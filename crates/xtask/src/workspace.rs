//! Paths of the checkout, and commands to run in it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub fn root() -> &'static Path {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.ancestors().nth(2).unwrap_or(crate_folder)
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Takes a lock of the checkout. Other processes wait here until the returned file is dropped.
pub fn lock_exclusively(work: &str) -> Result<File> {
    let name = target().join(format!("{work}.lock"));
    let file = File::create(&name).with_context(|| format!("cannot write {}", name.display()))?;
    file.lock()?;
    Ok(file)
}

/// A cargo command in the root of the checkout.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command with its output shown, and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", display_command(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", display_command(command));
    }
    Ok(())
}

/// Runs a command and returns its output. If it fails, its stderr becomes the error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", display_command(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({})\n{}", display_command(command), output.status, errors.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes the files of a commit into an existing folder.
pub fn export_commit(commit: &str, folder: &Path) -> Result<()> {
    let archive = folder.join("source.tar");
    let mut git = Command::new("git");
    output(git.args(["archive", "--output"]).arg(&archive).arg(commit).current_dir(root()))?;
    output(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder))?;
    std::fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

/// Returns the path of a program in the first folder of PATH that contains it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Formats a command as one would type it.
fn display_command(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
