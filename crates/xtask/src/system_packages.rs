//! The system's package manager, for the programs that cargo cannot build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{find_program, run};

/// Packages that a checkout may need from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemPackage {
    /// Postgres' server and clients.
    Postgres,
    /// Chromium and its driver.
    Browser,
    /// pgBouncer.
    PgBouncer,
    /// Redis.
    Redis,
    /// nginx.
    Nginx,
    /// Node.js with npm.
    Node,
    /// Prometheus with promtool.
    Prometheus,
    /// Prometheus' blackbox exporter, which probes addresses from outside.
    Blackbox,
    /// Python with support for virtual environments.
    Python,
    /// debootstrap, which creates a Debian in a folder.
    Debootstrap,
    /// buildah, which builds images without a daemon.
    Buildah,
    /// podman, which runs containers without a daemon.
    Podman,
    /// runc, the runtime that podman uses.
    Runc,
    /// systemd's tools for checking units.
    Systemd,
    /// rclone, which copies backups to S3.
    Rclone,
    /// shellcheck, which checks shell scripts.
    Shellcheck,
}

/// A package manager: its program, its commands, and its names of the packages.
struct PackageInstaller {
    program: &'static str,
    refresh: &'static [&'static str],
    install: &'static [&'static str],
    postgres: &'static [&'static str],
    browser: &'static [&'static str],
    redis: &'static [&'static str],
    node: &'static [&'static str],
    needs_root: bool,
}

const PACKAGE_INSTALLERS: &[PackageInstaller] = &[
    PackageInstaller {
        program: "apt-get",
        refresh: &["update"],
        install: &["install", "--yes", "--no-install-recommends"],
        postgres: &["postgresql"],
        browser: &["chromium", "chromium-driver"],
        redis: &["redis-server"],
        node: &["nodejs", "npm"],
        needs_root: true,
    },
    PackageInstaller {
        program: "dnf",
        refresh: &[],
        install: &["install", "-y"],
        postgres: &["postgresql-server", "postgresql-contrib"],
        browser: &["chromium", "chromedriver"],
        redis: &["redis"],
        node: &["nodejs", "nodejs-npm"],
        needs_root: true,
    },
    PackageInstaller {
        program: "pacman",
        refresh: &[],
        install: &["-Sy", "--needed", "--noconfirm"],
        postgres: &["postgresql"],
        browser: &["chromium"],
        redis: &["redis"],
        node: &["nodejs", "npm"],
        needs_root: true,
    },
    PackageInstaller {
        program: "apk",
        refresh: &[],
        install: &["add"],
        postgres: &["postgresql", "postgresql-client", "postgresql-contrib"],
        browser: &["chromium", "chromium-chromedriver"],
        redis: &["redis"],
        node: &["nodejs", "npm"],
        needs_root: true,
    },
    PackageInstaller {
        program: "brew",
        refresh: &[],
        install: &["install"],
        postgres: &["postgresql@17"],
        browser: &["chromium", "chromedriver"],
        redis: &["redis"],
        node: &["node"],
        needs_root: false,
    },
];

/// Installs a package. If it cannot, says what to install by hand.
pub fn install(need: SystemPackage) -> Result<()> {
    let Some(source) = PACKAGE_INSTALLERS.iter().find(|source| find_program(source.program).is_some()) else {
        bail!(
            "{} is missing, and no package manager that is known here can install it: {}",
            need.display_name(),
            INSTALL_HINT
        );
    };
    println!("installing {} with {}", need.display_name(), source.program);
    if need == SystemPackage::Postgres && source.program == "apt-get" {
        disable_debian_default_cluster()?;
    }
    if !source.refresh.is_empty() {
        run(&mut source.command(source.refresh))?;
    }
    run(source.command(source.install).args(source.package_names(need)))
}

/// Debian's name and the original name.
const BLACKBOX_PROGRAMS: [&str; 2] = ["prometheus-blackbox-exporter", "blackbox_exporter"];

const INSTALL_HINT: &str = "please install it yourself and put its programs on PATH";

/// Returns the path of a package's program. Installs the package if it is missing.
pub fn find_or_install(need: SystemPackage) -> Result<PathBuf> {
    if let Some(found) = need.find() {
        return Ok(found);
    }
    install(need)?;
    need.find().with_context(|| {
        format!("{} was installed, but its program is in no known folder", need.display_name())
    })
}

impl SystemPackage {
    /// Some distributions install programs where only root's PATH finds them.
    fn find(self) -> Option<PathBuf> {
        let program = match self {
            SystemPackage::Prometheus => "prometheus",
            SystemPackage::Blackbox => return BLACKBOX_PROGRAMS.into_iter().find_map(find_program),
            SystemPackage::PgBouncer => "pgbouncer",
            SystemPackage::Redis => "redis-server",
            SystemPackage::Nginx => "nginx",
            SystemPackage::Node => "npm",
            SystemPackage::Debootstrap => "debootstrap",
            SystemPackage::Buildah => "buildah",
            SystemPackage::Podman => "podman",
            SystemPackage::Runc => "runc",
            SystemPackage::Systemd => "systemd-analyze",
            SystemPackage::Rclone => "rclone",
            SystemPackage::Shellcheck => "shellcheck",
            SystemPackage::Postgres | SystemPackage::Browser | SystemPackage::Python => return None,
        };
        let usual = Path::new("/usr/sbin").join(program);
        find_program(program).or_else(|| usual.is_file().then_some(usual))
    }

    fn display_name(self) -> &'static str {
        match self {
            SystemPackage::Postgres => "Postgres",
            SystemPackage::Browser => "a Chromium with its driver",
            SystemPackage::PgBouncer => "pgBouncer",
            SystemPackage::Redis => "Redis",
            SystemPackage::Nginx => "nginx",
            SystemPackage::Node => "Node.js with npm",
            SystemPackage::Prometheus => "Prometheus",
            SystemPackage::Blackbox => "Prometheus' blackbox exporter",
            SystemPackage::Python => "Python with its venv",
            SystemPackage::Debootstrap => "debootstrap",
            SystemPackage::Buildah => "buildah",
            SystemPackage::Podman => "podman",
            SystemPackage::Runc => "runc",
            SystemPackage::Systemd => "systemd",
            SystemPackage::Rclone => "rclone",
            SystemPackage::Shellcheck => "shellcheck",
        }
    }
}

impl PackageInstaller {
    fn package_names(&self, need: SystemPackage) -> &'static [&'static str] {
        match need {
            SystemPackage::Postgres => self.postgres,
            SystemPackage::Browser => self.browser,
            // It has the same name everywhere.
            SystemPackage::PgBouncer => &["pgbouncer"],
            SystemPackage::Redis => self.redis,
            SystemPackage::Nginx => &["nginx"],
            SystemPackage::Node => self.node,
            SystemPackage::Prometheus if self.program == "dnf" => &["golang-github-prometheus"],
            SystemPackage::Prometheus => &["prometheus"],
            SystemPackage::Blackbox if self.program == "brew" => &["blackbox_exporter"],
            SystemPackage::Blackbox => &["prometheus-blackbox-exporter"],
            // Debian packages venv separately.
            SystemPackage::Python if self.program == "apt-get" => &["python3", "python3-venv"],
            SystemPackage::Python if self.program == "pacman" => &["python"],
            SystemPackage::Python => &["python3"],
            SystemPackage::Debootstrap => &["debootstrap"],
            SystemPackage::Buildah => &["buildah"],
            SystemPackage::Podman => &["podman"],
            SystemPackage::Runc => &["runc"],
            SystemPackage::Systemd => &["systemd"],
            SystemPackage::Rclone => &["rclone"],
            SystemPackage::Shellcheck => &["shellcheck"],
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.needs_root { as_root("env") } else { Command::new("env") };
        command.arg("DEBIAN_FRONTEND=noninteractive").arg(self.program).args(arguments);
        command
    }
}

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// Debian's package would create and start a system-wide cluster, which is not wanted.
fn disable_debian_default_cluster() -> Result<()> {
    let folder = "/etc/postgresql-common";
    let settings = format!("{folder}/createcluster.conf");
    if Path::new(&settings).exists() {
        return Ok(());
    }
    let write = format!("mkdir -p {folder} && echo 'create_main_cluster = false' > {settings}");
    run(as_root("sh").args(["-c", &write]))
}
