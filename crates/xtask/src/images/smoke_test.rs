//! Runs the images as in production: without privileges, without a writable file system, with their own
//! health check.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{IMAGE_SERVICES, ImageStore};
use crate::cluster::{self, Cluster, ClusterOptions};
use crate::service::{Service, ServiceSpec, Variables};
use crate::settings::{Ports, Secrets, StackSettings};
use crate::workspace;

const CONTAINER_START_TIMEOUT: Duration = Duration::from_secs(60);
const IMAGE_DATABASE: &str = "enablebot";

/// The user id that the images run as.
const IMAGE_UID: &str = "65532";

/// Without this, podman asks systemd to run a container's health check, and systemd may not be there.
const NO_SYSTEMD_HEALTH_CHECK: (&str, &str) = ("DISABLE_HC_SYSTEMD", "true");

/// Results of running an image.
#[derive(Clone, Debug)]
pub struct SmokeTestResult {
    /// The image's size in bytes.
    pub size_bytes: u64,
    /// The output of `--version`.
    pub version: String,
    /// The output of the health check while no service listened.
    pub health_check_error: String,
}

/// Runs the images of [`IMAGE_SERVICES`], in that order, on a Postgres that `web`'s image migrates.
pub fn run_smoke_tests(store: &ImageStore, images: &[String]) -> Result<Vec<SmokeTestResult>> {
    let folder = workspace::target().join(format!("test/images-{}", std::process::id()));
    let cluster = Cluster::start(&folder, ClusterOptions { fsync: false, is_ephemeral: true })?;
    cluster.create_database(IMAGE_DATABASE)?;
    let settings =
        StackSettings::simulated(Ports::free()?, cluster.url(IMAGE_DATABASE), Secrets::generate()?);
    let web = images.last().context("no image of web")?;
    run_image_command(store, web, &settings.owner().web_variables(), &settings.migrate_arguments())?;
    let mut all = Vec::new();
    for (service, image) in IMAGE_SERVICES.into_iter().zip(images) {
        let (variables, port) = match service {
            "web" => (settings.web_variables(), settings.ports.web),
            _ => (settings.api_variables(), settings.ports.api),
        };
        all.push(run_smoke_test(store, SmokeTest { service, image, variables, port })?);
    }
    Ok(all)
}

struct SmokeTest<'a> {
    service: &'static str,
    image: &'a str,
    variables: Variables,
    port: u16,
}

fn run_smoke_test(store: &ImageStore, test: SmokeTest) -> Result<SmokeTestResult> {
    let SmokeTest { service, image, variables, port } = test;
    let version = run_image_command(store, image, &Variables::new(), &["--version"])?;
    let Err(unhealthy) = run_image_command(store, image, &variables, &["health"]) else {
        bail!("the health check of {service} passes although nothing listens");
    };
    let container = Container::start(store, service, image, variables, port)?;
    container.check_isolation(store)?;
    container.stop()?;
    let size = store.inspect(image, "{{.Size}}")?.parse()?;
    Ok(SmokeTestResult {
        size_bytes: size,
        version: version.trim().to_owned(),
        health_check_error: unhealthy.to_string(),
    })
}

/// Runs a command of an image until it ends, and returns its output.
fn run_image_command(
    store: &ImageStore,
    image: &str,
    variables: &Variables,
    arguments: &[&str],
) -> Result<String> {
    let mut podman = std::process::Command::new(store.podman_program());
    podman.args(store.run_arguments(&[], variables, image)).args(arguments).envs([NO_SYSTEMD_HEALTH_CHECK]);
    workspace::output(&mut podman)
}

/// A service that runs from an image. Dropping it removes the container.
struct Container<'a> {
    store: &'a ImageStore,
    name: String,
    service: Service,
}

impl<'a> Container<'a> {
    /// Starts the container and waits until it is ready.
    fn start(
        store: &'a ImageStore,
        service: &str,
        image: &str,
        variables: Variables,
        port: u16,
    ) -> Result<Self> {
        let name = format!("{service}-{}", cluster::free_port()?);
        let arguments = store.run_arguments(&["--name", &name], &variables, image);
        let (variable, value) = NO_SYSTEMD_HEALTH_CHECK;
        let variables = Variables::from([(variable.to_owned(), value.to_owned())]);
        let program = store.podman_program();
        let show = Arc::new(|_: &str| ());
        let service = Service::start(ServiceSpec {
            name: service,
            program,
            arguments,
            variables,
            port,
            log_sink: show,
        })?;
        let mut container = Self { store, name, service };
        container.service.wait_until_ready("/health/ready", CONTAINER_START_TIMEOUT)?;
        Ok(container)
    }

    /// Checks the container's isolation by the image's health check and by the kernel's view of its process.
    fn check_isolation(&self, store: &ImageStore) -> Result<()> {
        workspace::output(store.podman("healthcheck").args(["run", &self.name]))?;
        let pid = store.inspect(&self.name, "{{.State.Pid}}")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        ensure!(field("Uid:").is_some_and(|ids| ids.split('\t').all(|id| id == IMAGE_UID)), "{status}");
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

    /// Asks the container to end and fails unless it does so in order.
    fn stop(mut self) -> Result<()> {
        let status = self.service.stop()?;
        ensure!(status.success(), "it ended with {status}\n{}", self.service.last_log_lines(20));
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.store.podman("rm").args(["--force", "--ignore", &self.name]).output();
    }
}
