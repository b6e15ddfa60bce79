//! The files of a release: an archive and a bill of materials per image, and the digests of all of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{IMAGE_SERVICES, ImageStore};
use crate::workspace;

/// The version of cargo-cyclonedx that writes the bills of materials.
const CYCLONEDX_VERSION: &str = "0.5.9";

/// Writes the files of a release into a new folder and returns it. The images are those of
/// [`IMAGE_SERVICES`], in that order.
pub fn write_release_files(store: &ImageStore, images: &[String]) -> Result<PathBuf> {
    let folder = store.create_scratch_folder("release")?;
    for (service, image) in IMAGE_SERVICES.into_iter().zip(images) {
        let archive = folder.join(format!("enablebot-{service}.tar"));
        workspace::output(store.podman("save").arg("--output").arg(archive).arg(image))?;
    }
    write_bills_of_materials(store, &folder)?;
    write_digests(&folder)?;
    Ok(folder)
}

/// Writes what each program is built from, in the format of CycloneDX. The tool writes next to each manifest, so
/// it gets a copy of the commit.
fn write_bills_of_materials(store: &ImageStore, folder: &Path) -> Result<()> {
    let has_tool = workspace::cargo(&["cyclonedx", "--version"]).output()?.status.success();
    if !has_tool {
        let package = format!("cargo-cyclonedx@{CYCLONEDX_VERSION}");
        workspace::run(&mut workspace::cargo(&["install", "--locked", "--debug", &package]))?;
    }
    let source = store.create_scratch_folder("release-source")?;
    workspace::export_commit("HEAD", &source)?;
    let arguments = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", "bom"];
    workspace::output(workspace::cargo(&arguments).current_dir(&source))?;
    for service in IMAGE_SERVICES {
        let bill = source.join(format!("crates/{service}/bom.json"));
        let target = folder.join(format!("enablebot-{service}.cdx.json"));
        fs::copy(&bill, target).with_context(|| format!("cannot copy {}", bill.display()))?;
    }
    Ok(())
}

/// Writes `SHA256SUMS` for all files of a folder, as `sha256sum --check` reads it.
fn write_digests(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    files.sort();
    let lines = files.iter().map(|file| digest_line(file)).collect::<Result<Vec<_>>>()?;
    Ok(fs::write(folder.join("SHA256SUMS"), lines.concat())?)
}

fn digest_line(file: &Path) -> Result<String> {
    let digest = hex::encode(Sha256::digest(fs::read(file)?));
    Ok(format!("{digest}  {}\n", file.file_name().unwrap_or_default().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_by_sha256sum() {
        let folder = workspace::target().join(format!("test/digests-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("b.tar"), "two").expect("a file");
        fs::write(folder.join("a.json"), "one").expect("a file");
        write_digests(&folder).expect("digests");
        let check = || {
            let mut sums = std::process::Command::new("sha256sum");
            workspace::output(sums.args(["--check", "SHA256SUMS"]).current_dir(&folder))
        };
        assert_eq!(check().expect("all match"), "a.json: OK\nb.tar: OK\n");
        fs::write(folder.join("a.json"), "changed").expect("a file");
        assert!(check().is_err());
        fs::remove_dir_all(folder).expect("it is removed");
    }
}
