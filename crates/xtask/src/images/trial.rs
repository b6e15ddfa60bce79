//! The images as they will run: nobody's rights, nothing to write to, and the health check that they bring along.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{SERVICES, Store};
use crate::cluster::{self, Cluster, Options};
use crate::service::{Service, Start, Variables};
use crate::settings::{Ports, Secrets, Settings};
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(60);
const DATABASE: &str = "enablebot";

/// Whom the images run as.
const USER: &str = "65532";

/// Podman would have systemd look at the health of a container, which may not be there.
const LOOKED_AT_HERE: (&str, &str) = ("DISABLE_HC_SYSTEMD", "true");

/// What an image showed.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Its bytes.
    pub size: u64,
    /// What `--version` says.
    pub version: String,
    /// What its health check said while nobody listened.
    pub unhealthy: String,
}

/// Runs the images of [`SERVICES`], in that order, on a Postgres that the image of `web` migrates.
pub fn try_out(store: &Store, images: &[String]) -> Result<Vec<Tried>> {
    let folder = workspace::target().join(format!("test/images-{}", std::process::id()));
    let cluster = Cluster::start(&folder, Options { fsync: false, fresh: true })?;
    cluster.create_database(DATABASE)?;
    let settings = Settings::simulated(Ports::free()?, cluster.url(DATABASE), Secrets::random()?);
    let web = images.last().context("there is no image of web")?;
    once(store, web, &settings.web(), &["migrate"])?;
    let mut all = Vec::new();
    for (service, image) in SERVICES.into_iter().zip(images) {
        let (variables, port) = match service {
            "web" => (settings.web(), settings.ports.web),
            _ => (settings.api(), settings.ports.api),
        };
        all.push(try_one(store, Trial { service, image, variables, port })?);
    }
    Ok(all)
}

struct Trial<'a> {
    service: &'static str,
    image: &'a str,
    variables: Variables,
    port: u16,
}

fn try_one(store: &Store, trial: Trial) -> Result<Tried> {
    let Trial { service, image, variables, port } = trial;
    let version = once(store, image, &Variables::new(), &["--version"])?;
    let Err(unhealthy) = once(store, image, &variables, &["health"]) else {
        bail!("the health check of {service} passes where nobody listens");
    };
    let container = Container::start(store, service, image, variables, port)?;
    container.looks_as_it_should(store)?;
    container.stop()?;
    let size = store.inspect(image, "{{.Size}}")?.parse()?;
    Ok(Tried { size, version: version.trim().to_owned(), unhealthy: unhealthy.to_string() })
}

/// Runs a command of an image to its end, and returns what it prints.
fn once(store: &Store, image: &str, variables: &Variables, arguments: &[&str]) -> Result<String> {
    let mut podman = std::process::Command::new(store.podman_program());
    podman.args(store.run_arguments(&[], variables, image)).args(arguments).envs([LOOKED_AT_HERE]);
    workspace::output(&mut podman)
}

/// A service that runs of an image. Dropping it removes the container.
struct Container<'a> {
    store: &'a Store,
    name: String,
    service: Service,
}

impl<'a> Container<'a> {
    /// Starts it, once it is ready.
    fn start(store: &'a Store, service: &str, image: &str, variables: Variables, port: u16) -> Result<Self> {
        let name = format!("{service}-{}", cluster::free_port()?);
        let arguments = store.run_arguments(&["--name", &name], &variables, image);
        let (variable, value) = LOOKED_AT_HERE;
        let variables = Variables::from([(variable.to_owned(), value.to_owned())]);
        let program = store.podman_program();
        let show = Arc::new(|_: &str| ());
        let service = Service::start(Start { name: service, program, arguments, variables, port, show })?;
        let mut container = Self { store, name, service };
        container.service.wait_ready("/health/ready", PATIENCE)?;
        Ok(container)
    }

    /// By the image's own health check, and by what the kernel says of its process.
    fn looks_as_it_should(&self, store: &Store) -> Result<()> {
        workspace::output(store.podman("healthcheck").args(["run", &self.name]))?;
        let pid = store.inspect(&self.name, "{{.State.Pid}}")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        ensure!(field("Uid:").is_some_and(|ids| ids.split('\t').all(|id| id == USER)), "{status}");
        ensure!(field("NoNewPrivs:") == Some("1"), "it could get rights that it has not\n{status}");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            ensure!(field(set).is_some_and(|set| set.trim_matches('0').is_empty()), "{set} {status}");
        }
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
        let is_read_only =
            root.and_then(|line| line.split(' ').nth(5)).is_some_and(|how| how.starts_with("ro"));
        ensure!(is_read_only, "its files can be written to\n{mounts}");
        Ok(())
    }

    /// Asks it to end, which it does in order.
    fn stop(mut self) -> Result<()> {
        let status = self.service.stop()?;
        ensure!(status.success(), "it ended with {status}\n{}", self.service.last_lines(20));
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.store.podman("rm").args(["--force", "--ignore", &self.name]).output();
    }
}
