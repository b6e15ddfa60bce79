//! Where images are built and run without a daemon, by buildah and podman: a store of the checkout's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::service::Variables;
use crate::system_packages::{self, SystemPackage};
use crate::workspace;

/// The images of the checkout, and what runs of them.
#[derive(Debug)]
pub struct ImageStore {
    folder: PathBuf,
    run_root: PathBuf,
    buildah: PathBuf,
    podman: PathBuf,
    runc: PathBuf,
}

impl ImageStore {
    /// Opens it, with the programs that it takes, which are installed where they are missing.
    pub fn open() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("debootstrap and the mounts of a container take root: run this as root");
        }
        let folder = workspace::target().join("images");
        // podman takes no longer a path than 50 characters.
        let name = hex::encode(&Sha256::digest(folder.to_string_lossy().as_bytes())[..6]);
        let running = Path::new("/run/enablebot-images").join(name);
        for folder in [&folder.join("tmp"), &running] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self {
            folder,
            run_root: running,
            buildah: system_packages::find_or_install(SystemPackage::Buildah)?,
            podman: system_packages::find_or_install(SystemPackage::Podman)?,
            runc: system_packages::find_or_install(SystemPackage::Runc)?,
        })
    }

    /// A command of buildah's.
    pub fn buildah(&self, command: &str) -> Command {
        let mut buildah = Command::new(&self.buildah);
        // It keeps cached folders of a build beside its temporary files.
        buildah.args(self.storage_arguments()).arg(command).env("TMPDIR", self.folder.join("tmp"));
        buildah
    }

    /// A command of podman's.
    pub fn podman(&self, command: &str) -> Command {
        let mut podman = Command::new(&self.podman);
        podman.args(self.podman_arguments()).arg(command).env("TMPDIR", self.folder.join("tmp"));
        podman
    }

    /// Buildah's command for a file of `docker/`; the context is still to be said. Health checks are Docker's alone.
    pub fn build_command(&self, service: &str, image: &str) -> Command {
        let mut buildah = self.buildah("build");
        buildah.args(["--isolation", "chroot", "--format", "docker", "--tag", image, "--file"]);
        buildah.arg(workspace::root().join(format!("docker/Dockerfile.{service}")));
        buildah
    }

    /// Where podman is.
    pub fn podman_program(&self) -> &Path {
        &self.podman
    }

    /// Podman's arguments to run an image as `docker/compose.yaml` has it, in this machine's network.
    pub fn run_arguments(&self, options: &[&str], variables: &Variables, image: &str) -> Vec<String> {
        let mut arguments = self.podman_arguments();
        arguments.extend(["run", "--rm", "--network", "host", "--read-only"].map(String::from));
        arguments.extend(["--cap-drop", "all", "--security-opt", "no-new-privileges"].map(String::from));
        // What podman gives otherwise may be more than root itself has, where root may not raise its limits.
        arguments.extend(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"].map(String::from));
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        for (name, value) in variables {
            arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        arguments.push(image.to_owned());
        arguments
    }

    /// Whether there is an image of that name.
    pub fn has_image(&self, image: &str) -> Result<bool> {
        Ok(self.podman("image").args(["exists", image]).status().context("cannot run podman")?.success())
    }

    /// What is told of an image or a running container, by a template of podman's.
    pub fn inspect(&self, name: &str, template: &str) -> Result<String> {
        let told = workspace::output(self.podman("inspect").args(["--format", template, name]))?;
        Ok(told.trim_end().to_owned())
    }

    /// Looks at the files of an image.
    pub fn with_mounted_image<T>(&self, image: &str, look: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let root = workspace::output(self.podman("image").args(["mount", image]))?;
        let seen = look(Path::new(root.trim_end()));
        workspace::output(self.podman("image").args(["unmount", image]))?;
        seen
    }

    /// An empty folder.
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

    /// runc runs with control groups of every version, and a service manager is not there everywhere.
    fn podman_arguments(&self) -> Vec<String> {
        let runtime = ["--runtime".into(), self.runc.to_string_lossy().into_owned()];
        self.storage_arguments()
            .into_iter()
            .chain(runtime)
            .chain(["--cgroup-manager=cgroupfs".into()])
            .collect()
    }
}
