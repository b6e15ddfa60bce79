//! Debian as an image, for machines that reach its packages and no registry of images.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Store;
use crate::packages::{self, Need};
use crate::workspace;

/// Makes an image of a smallest Debian with these packages, and these variables for what runs in it; only once.
pub(crate) fn make(store: &Store, image: &str, packages: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let _alone = workspace::alone("debootstrap")?;
    if store.has(image)? {
        return Ok(());
    }
    let tree = store.scratch("debootstrap")?;
    let end = bootstrap(&tree, packages).and_then(|()| import(store, image, &tree, variables));
    // If debootstrap broke off, this machine's /proc may be mounted in there.
    workspace::output(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&tree))?;
    end
}

fn bootstrap(tree: &Path, packages: &[&str]) -> Result<()> {
    let mut debootstrap = Command::new(packages::find_or_install(Need::Debootstrap)?);
    debootstrap.arg("--variant=minbase").arg(format!("--include={}", packages.join(",")));
    let output = debootstrap.arg(suite()).arg(tree).output().context("cannot run debootstrap")?;
    if !output.status.success() {
        bail!("debootstrap failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// This machine's own release: programs that were linked here run there.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    match (value("ID"), value("VERSION_CODENAME")) {
        (Some("debian"), Some(suite)) => suite.to_owned(),
        _ => "bookworm".to_owned(),
    }
}

fn import(store: &Store, image: &str, tree: &Path, variables: &[(&str, &str)]) -> Result<()> {
    let mut tar = Command::new("tar").arg("-C").arg(tree).args(["-c", "."]).stdout(Stdio::piped()).spawn()?;
    let mut podman = store.podman("import");
    for (name, value) in variables {
        podman.args(["--change", &format!("ENV={name}={value}")]);
    }
    let archive = tar.stdout.take().context("tar has no output")?;
    workspace::output(podman.args(["-", image]).stdin(archive))?;
    let status = tar.wait()?;
    if !status.success() {
        bail!("tar failed ({status})");
    }
    Ok(())
}
