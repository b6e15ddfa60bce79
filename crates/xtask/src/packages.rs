//! The system's package manager, for the programs that cargo cannot build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{find_program, run};

/// What a checkout may need from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Postgres' server and its clients.
    Postgres,
    /// A Chromium and its driver.
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
    /// Prometheus' blackbox exporter, which asks addresses from outside.
    Blackbox,
    /// Python, with which a virtual environment can be made.
    Python,
    /// What makes a Debian in a folder.
    Debootstrap,
    /// What builds images without a daemon.
    Buildah,
    /// What runs containers without a daemon.
    Podman,
    /// What podman runs them by.
    Runc,
    /// systemd's own look at its units.
    Systemd,
    /// What backups are put into S3 with.
    Rclone,
    /// A look at scripts.
    Shellcheck,
}

/// A package manager: its program, its commands, and what it calls the packages.
struct Source {
    program: &'static str,
    refresh: &'static [&'static str],
    install: &'static [&'static str],
    postgres: &'static [&'static str],
    browser: &'static [&'static str],
    redis: &'static [&'static str],
    node: &'static [&'static str],
    as_root: bool,
}

const SOURCES: &[Source] = &[
    Source {
        program: "apt-get",
        refresh: &["update"],
        install: &["install", "--yes", "--no-install-recommends"],
        postgres: &["postgresql"],
        browser: &["chromium", "chromium-driver"],
        redis: &["redis-server"],
        node: &["nodejs", "npm"],
        as_root: true,
    },
    Source {
        program: "dnf",
        refresh: &[],
        install: &["install", "-y"],
        postgres: &["postgresql-server", "postgresql-contrib"],
        browser: &["chromium", "chromedriver"],
        redis: &["redis"],
        node: &["nodejs", "nodejs-npm"],
        as_root: true,
    },
    Source {
        program: "pacman",
        refresh: &[],
        install: &["-Sy", "--needed", "--noconfirm"],
        postgres: &["postgresql"],
        browser: &["chromium"],
        redis: &["redis"],
        node: &["nodejs", "npm"],
        as_root: true,
    },
    Source {
        program: "apk",
        refresh: &[],
        install: &["add"],
        postgres: &["postgresql", "postgresql-client", "postgresql-contrib"],
        browser: &["chromium", "chromium-chromedriver"],
        redis: &["redis"],
        node: &["nodejs", "npm"],
        as_root: true,
    },
    Source {
        program: "brew",
        refresh: &[],
        install: &["install"],
        postgres: &["postgresql@17"],
        browser: &["chromium", "chromedriver"],
        redis: &["redis"],
        node: &["node"],
        as_root: false,
    },
];

/// Installs what is needed, or says in a sentence what to install by hand.
pub fn install(need: Need) -> Result<()> {
    let Some(source) = SOURCES.iter().find(|source| find_program(source.program).is_some()) else {
        bail!(
            "{} is missing, and no package manager that is known here can install it: {}",
            need.name(),
            KNOWN
        );
    };
    println!("{} is missing: installing it with {}.", need.name(), source.program);
    if need == Need::Postgres && source.program == "apt-get" {
        keep_debian_from_a_cluster()?;
    }
    if !source.refresh.is_empty() {
        run(&mut source.command(source.refresh))?;
    }
    run(source.command(source.install).args(source.packages(need)))
}

/// Debian's name of it, and its own.
const BLACKBOX: [&str; 2] = ["prometheus-blackbox-exporter", "blackbox_exporter"];

const KNOWN: &str = "please install it yourself and put its programs on PATH";

/// The program of what needs no more than one, which is installed where it is missing.
pub fn find_or_install(need: Need) -> Result<PathBuf> {
    if let Some(found) = need.find() {
        return Ok(found);
    }
    install(need)?;
    need.find()
        .with_context(|| format!("{} was installed, but its program is in no known folder", need.name()))
}

impl Need {
    /// Distributions put some where only root looks.
    fn find(self) -> Option<PathBuf> {
        let program = match self {
            Need::Prometheus => "prometheus",
            Need::Blackbox => return BLACKBOX.into_iter().find_map(find_program),
            Need::PgBouncer => "pgbouncer",
            Need::Redis => "redis-server",
            Need::Nginx => "nginx",
            Need::Node => "npm",
            Need::Debootstrap => "debootstrap",
            Need::Buildah => "buildah",
            Need::Podman => "podman",
            Need::Runc => "runc",
            Need::Systemd => "systemd-analyze",
            Need::Rclone => "rclone",
            Need::Shellcheck => "shellcheck",
            Need::Postgres | Need::Browser | Need::Python => return None,
        };
        let usual = Path::new("/usr/sbin").join(program);
        find_program(program).or_else(|| usual.is_file().then_some(usual))
    }

    fn name(self) -> &'static str {
        match self {
            Need::Postgres => "Postgres",
            Need::Browser => "a Chromium with its driver",
            Need::PgBouncer => "pgBouncer",
            Need::Redis => "Redis",
            Need::Nginx => "nginx",
            Need::Node => "Node.js with npm",
            Need::Prometheus => "Prometheus",
            Need::Blackbox => "Prometheus' blackbox exporter",
            Need::Python => "Python with its venv",
            Need::Debootstrap => "debootstrap",
            Need::Buildah => "buildah",
            Need::Podman => "podman",
            Need::Runc => "runc",
            Need::Systemd => "systemd",
            Need::Rclone => "rclone",
            Need::Shellcheck => "shellcheck",
        }
    }
}

impl Source {
    fn packages(&self, need: Need) -> &'static [&'static str] {
        match need {
            Need::Postgres => self.postgres,
            Need::Browser => self.browser,
            // It has one name everywhere.
            Need::PgBouncer => &["pgbouncer"],
            Need::Redis => self.redis,
            Need::Nginx => &["nginx"],
            Need::Node => self.node,
            Need::Prometheus if self.program == "dnf" => &["golang-github-prometheus"],
            Need::Prometheus => &["prometheus"],
            Need::Blackbox if self.program == "brew" => &["blackbox_exporter"],
            Need::Blackbox => &["prometheus-blackbox-exporter"],
            // Debian has its venv apart.
            Need::Python if self.program == "apt-get" => &["python3", "python3-venv"],
            Need::Python if self.program == "pacman" => &["python"],
            Need::Python => &["python3"],
            Need::Debootstrap => &["debootstrap"],
            Need::Buildah => &["buildah"],
            Need::Podman => &["podman"],
            Need::Runc => &["runc"],
            Need::Systemd => &["systemd"],
            Need::Rclone => &["rclone"],
            Need::Shellcheck => &["shellcheck"],
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.as_root { as_root("env") } else { Command::new("env") };
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

/// Debian's package makes and starts a cluster of the system, which nobody here asked for.
fn keep_debian_from_a_cluster() -> Result<()> {
    let folder = "/etc/postgresql-common";
    let settings = format!("{folder}/createcluster.conf");
    if Path::new(&settings).exists() {
        return Ok(());
    }
    let write = format!("mkdir -p {folder} && echo 'create_main_cluster = false' > {settings}");
    run(as_root("sh").args(["-c", &write]))
}
