//! Debian as an image, for machines that can reach its packages but no image registry.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::ImageStore;
use crate::system_packages::{self, SystemPackage};
use crate::workspace;

/// Creates an image of a minimal Debian with these packages and variables, unless it exists.
pub(crate) fn ensure_image(
    store: &ImageStore,
    image: &str,
    packages: &[&str],
    variables: &[(&str, &str)],
) -> Result<()> {
    let _alone = workspace::lock_exclusively("debootstrap")?;
    if store.has_image(image)? {
        return Ok(());
    }
    let tree = store.create_scratch_folder("debootstrap")?;
    let end = bootstrap(&tree, packages).and_then(|()| import_image(store, image, &tree, variables));
    // If debootstrap was interrupted, this machine's /proc may still be mounted there.
    workspace::output(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&tree))?;
    end
}

fn bootstrap(root_folder: &Path, packages: &[&str]) -> Result<()> {
    let mut debootstrap = Command::new(system_packages::find_or_install(SystemPackage::Debootstrap)?);
    debootstrap.arg("--variant=minbase").arg(format!("--include={}", packages.join(",")));
    let output =
        debootstrap.arg(debian_suite()).arg(root_folder).output().context("cannot run debootstrap")?;
    if !output.status.success() {
        bail!("debootstrap failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Returns this machine's own release: programs that were linked here run there.
fn debian_suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    match (value("ID"), value("VERSION_CODENAME")) {
        (Some("debian"), Some(suite)) => suite.to_owned(),
        _ => "bookworm".to_owned(),
    }
}

fn import_image(
    store: &ImageStore,
    image: &str,
    root_folder: &Path,
    variables: &[(&str, &str)],
) -> Result<()> {
    let mut tar =
        Command::new("tar").arg("-C").arg(root_folder).args(["-c", "."]).stdout(Stdio::piped()).spawn()?;
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
