//! `cargo xtask images`: builds both images from their own files, without a daemon or a registry, and runs
//! them.

mod buildah;
mod debian;
mod release;
mod smoke_test;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::step;
use crate::system_packages::{self, SystemPackage};
use crate::workspace;
pub use buildah::ImageStore;
pub use release::write_release_files;
pub use smoke_test::{SmokeTestResult, run_smoke_tests};

/// The services that have an image.
pub const IMAGE_SERVICES: [&str; 2] = ["api", "web"];

/// The size limit of an image, in bytes.
const MAX_CONTAINER_IMAGE_BYTES: u64 = 40_000_000;

/// A Debian with a compiler and this machine's Rust; the `RUST` argument of the files in `docker/`.
const COMPILER_IMAGE: &str = "localhost/enablebot-compiler";

/// A Debian with the root certificates.
const DEBIAN_IMAGE: &str = "localhost/enablebot-debian";

/// Installs the programs that build and run images.
pub fn install() -> Result<()> {
    for need in
        [SystemPackage::Debootstrap, SystemPackage::Buildah, SystemPackage::Podman, SystemPackage::Runc]
    {
        system_packages::find_or_install(need)?;
    }
    Ok(())
}

/// Builds both images, runs them, and fails if one is too large.
pub fn run() -> Result<()> {
    let store = ImageStore::open()?;
    step("building a Debian image with a compiler", || {
        debian::ensure_image(
            &store,
            COMPILER_IMAGE,
            &["ca-certificates", "gcc", "libc6-dev"],
            &TOOLCHAIN_VARIABLES,
        )
    })?;
    workspace::run(&mut workspace::cargo(&["fetch", "--locked"]))?;
    let mut images = Vec::new();
    for service in IMAGE_SERVICES {
        images.push(build(&store, service)?);
    }
    let results = step("running the images", || run_smoke_tests(&store, &images))?;
    workspace::output(store.podman("image").args(["prune", "--force"]))?;
    print_sizes(&images, &results);
    let folder =
        step("writing archives, bills of materials and SHA256SUMS", || write_release_files(&store, &images))?;
    println!("{}", folder.display());
    if let Some(large) = results.iter().find(|result| result.size_bytes >= MAX_CONTAINER_IMAGE_BYTES) {
        bail!(
            "{} has {} bytes; an image may have {MAX_CONTAINER_IMAGE_BYTES}",
            large.version,
            large.size_bytes
        );
    }
    Ok(())
}

/// Prints the size of each image.
pub fn print_sizes(images: &[String], results: &[SmokeTestResult]) {
    for (image, SmokeTestResult { size_bytes: size, version, .. }) in images.iter().zip(results) {
        println!("{image}: {version}, {:.1} MB", *size as f64 / 1e6);
    }
}

/// Variables that point the build to the mounted Rust and crates of this machine.
const TOOLCHAIN_VARIABLES: [(&str, &str); 3] = [
    ("PATH", "/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("CARGO_HOME", "/cargo"),
    ("CARGO_NET_OFFLINE", "true"),
];

/// Builds an image from its file, in release mode.
fn build(store: &ImageStore, service: &str) -> Result<String> {
    let sysroot = workspace::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let revision = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(workspace::root()).output();
    let revision = revision.map(|git| String::from_utf8_lossy(&git.stdout).trim().to_owned());
    let registry = cargo_home()?.join("registry");
    let image = format!("localhost/enablebot-{service}");
    let mut buildah = store.build_command(service, &image);
    buildah.args(["--build-arg", &format!("RUST={COMPILER_IMAGE}")]);
    buildah.args(["--build-arg", concat!("VERSION=", env!("CARGO_PKG_VERSION"))]);
    buildah.args(["--build-arg", &format!("REVISION={}", revision.unwrap_or_default())]);
    buildah.args(["--volume", &format!("{}:/toolchain:ro", sysroot.trim())]);
    buildah.args(["--volume", &format!("{}:/cargo/registry:ro", registry.display())]);
    workspace::run(buildah.arg(workspace::root()))?;
    Ok(image)
}

/// Builds an image from its file, but copies this program instead of compiling.
pub fn build_from_program(store: &ImageStore, service: &str, program: &Path) -> Result<String> {
    debian::ensure_image(store, DEBIAN_IMAGE, &["ca-certificates"], &[])?;
    let folder = store.create_scratch_folder(service)?;
    workspace::output(Command::new("strip").arg("-o").arg(folder.join(service)).arg(program))?;
    let built = format!("localhost/enablebot-built-{service}");
    std::fs::write(
        folder.join("Dockerfile"),
        format!("FROM {DEBIAN_IMAGE}\nCOPY {service} /image/{service}\n"),
    )?;
    workspace::output(store.buildah("build").args(["--isolation", "chroot", "--tag", &built]).arg(&folder))?;
    let image = format!("localhost/enablebot-{service}:tried");
    let mut buildah = store.build_command(service, &image);
    buildah.args(["--build-context", &format!("build=container-image://{built}")]);
    workspace::output(buildah.arg(workspace::root()))?;
    Ok(image)
}

fn cargo_home() -> Result<std::path::PathBuf> {
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cargo"));
    let named = std::env::var_os("CARGO_HOME").map(Into::into);
    named.or_else(home).context("neither CARGO_HOME nor HOME is set")
}
