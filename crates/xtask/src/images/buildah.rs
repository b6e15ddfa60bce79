//! Images built by buildah and run by podman, without a daemon, in a store inside the checkout's target
//! folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::service::Variables;
use crate::system_packages::{self, SystemPackage};
use crate::workspace;

/// The store of images and running containers.
#[derive(Debug)]
pub struct ImageStore {
    folder: PathBuf,
    run_root: PathBuf,
    buildah: PathBuf,
    podman: PathBuf,
    runc: PathBuf,
}

impl ImageStore {
    /// Opens the store. Installs the programs that it needs if they are missing.
    pub fn open() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("debootstrap and container mounts need root: run this as root");
        }
        let folder = workspace::target().join("images");
        // podman accepts paths of at most 50 characters.
        let name = hex::encode(&Sha256::digest(folder.to_string_lossy().as_bytes())[..6]);
        let running = Path::new("/run/enablebot-images").join(name);
        for folder in [&folder.join("tmp"), &running] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(Self {
            folder,
            run_root: running,
            buildah: system_packages::find_or_install(SystemPackage::Buildah)?,
            podman: system_packages::find_or_install(SystemPackage::Podman)?,
            runc: system_packages::find_or_install(SystemPackage::Runc)?,
        })
    }

    /// A buildah command on this store.
    pub fn buildah(&self, command: &str) -> Command {
        let mut buildah = Command::new(&self.buildah);
        // buildah keeps the cache folders of a build next to its temporary files.
        buildah.args(self.storage_arguments()).arg(command).env("TMPDIR", self.folder.join("tmp"));
        buildah
    }

    /// A podman command on this store.
    pub fn podman(&self, command: &str) -> Command {
        let mut podman = Command::new(&self.podman);
        podman.args(self.podman_arguments()).arg(command).env("TMPDIR", self.folder.join("tmp"));
        podman
    }

    /// A build command for a file in `docker/`; the caller adds the context. The docker format is needed for
    /// health checks.
    pub fn build_command(&self, service: &str, image: &str) -> Command {
        let mut buildah = self.buildah("build");
        buildah.args(["--isolation", "chroot", "--format", "docker", "--tag", image, "--file"]);
        buildah.arg(workspace::root().join(format!("docker/Dockerfile.{service}")));
        buildah
    }

    /// Returns the path of podman.
    pub fn podman_program(&self) -> &Path {
        &self.podman
    }

    /// Returns podman's arguments to run an image as `docker/compose.yaml` does, in this machine's network.
    pub fn run_arguments(&self, options: &[&str], variables: &Variables, image: &str) -> Vec<String> {
        let mut arguments = self.podman_arguments();
        arguments.extend(["run", "--rm", "--network", "host", "--read-only"].map(String::from));
        arguments.extend(["--cap-drop", "all", "--security-opt", "no-new-privileges"].map(String::from));
        // podman's default limits may exceed root's own, and root may not be allowed to raise them.
        arguments.extend(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"].map(String::from));
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        for (name, value) in variables {
            arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        arguments.push(image.to_owned());
        arguments
    }

    /// Returns whether an image exists.
    pub fn has_image(&self, image: &str) -> Result<bool> {
        Ok(self.podman("image").args(["exists", image]).status().context("cannot run podman")?.success())
    }

    /// Inspects an image or a running container with a podman template.
    pub fn inspect(&self, name: &str, template: &str) -> Result<String> {
        let output = workspace::output(self.podman("inspect").args(["--format", template, name]))?;
        Ok(output.trim_end().to_owned())
    }

    /// Mounts an image and passes its folder to `look`.
    pub fn with_mounted_image<T>(&self, image: &str, look: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let root = workspace::output(self.podman("image").args(["mount", image]))?;
        let seen = look(Path::new(root.trim_end()));
        workspace::output(self.podman("image").args(["unmount", image]))?;
        seen
    }

    /// Creates an empty folder.
    pub fn create_scratch_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join("scratch").join(name);
        if folder.exists() {
            workspace::output(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&folder))?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn storage_arguments(&self) -> [String; 4] {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        ["--root".into(), path(&self.folder.join("storage")), "--runroot".into(), path(&self.run_root)]
    }

    /// runc works with both versions of control groups; not every machine has a service manager.
    fn podman_arguments(&self) -> Vec<String> {
        let runtime = ["--runtime".into(), self.runc.to_string_lossy().into_owned()];
        self.storage_arguments()
            .into_iter()
            .chain(runtime)
            .chain(["--cgroup-manager=cgroupfs".into()])
            .collect()
    }
}
