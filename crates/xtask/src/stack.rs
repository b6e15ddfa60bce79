//! A migrated database, and the programs of the checkout on top of it; for tests and benchmarks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::binaries::Binaries;
use crate::cluster::{Cluster, ClusterOptions};
use crate::service::{self, LogSink, Service, ServiceSpec, Variables};
use crate::settings::{Ports, Secrets, StackSettings};

const STACK_DATABASE: &str = "enablebot";
const SERVICE_START_TIMEOUT: Duration = Duration::from_secs(30);

/// The base that services are started on. Drop the services before it.
#[derive(Debug)]
pub struct Stack {
    /// The settings of the services, unless a start overrides them.
    pub settings: StackSettings,
    /// Their Postgres.
    pub cluster: Cluster,
    binaries: Binaries,
}

impl Stack {
    /// Starts Postgres in `folder` and runs `web migrate` on an empty database. The simulator is whatever
    /// listens on its port: [`Stack::start_simulator`], or one in this process.
    pub fn start(binaries: &Binaries, folder: &Path, options: ClusterOptions, ports: Ports) -> Result<Self> {
        let cluster = Cluster::start(folder, options)?;
        cluster.drop_database(STACK_DATABASE)?;
        cluster.create_database(STACK_DATABASE)?;
        let settings = StackSettings::simulated(ports, cluster.url(STACK_DATABASE), Secrets::generate()?);
        settings.migrate(binaries.path("web")?)?;
        Ok(Self { settings, cluster, binaries: binaries.clone() })
    }

    /// Starts `web` with some variables overridden, and waits until it is ready.
    pub fn start_web(&self, overrides: &[(&str, &str)]) -> Result<Service> {
        self.start_service(
            "web",
            self.settings.ports.web,
            with_overrides(self.settings.web_variables(), overrides),
        )
    }

    /// Starts `api` with some variables overridden, and waits until it is ready.
    pub fn start_api(&self, overrides: &[(&str, &str)]) -> Result<Service> {
        self.start_service(
            "api",
            self.settings.ports.api,
            with_overrides(self.settings.api_variables(), overrides),
        )
    }

    /// Starts another replica of `api` on its own port.
    pub fn start_api_on(&self, port: u16, overrides: &[(&str, &str)]) -> Result<Service> {
        let mut variables = with_overrides(self.settings.api_variables(), overrides);
        variables.insert("API_PORT".into(), port.to_string());
        self.start_service("api", port, variables)
    }

    /// Starts another replica of `api` or `web` on its own port, without waiting for it.
    pub fn spawn_instance(
        &self,
        name: &str,
        port: u16,
        overrides: &[(&str, &str)],
        show: LogSink,
    ) -> Result<Service> {
        let (mut variables, variable) = match name {
            "web" => (with_overrides(self.settings.web_variables(), overrides), "WEB_PORT"),
            _ => (with_overrides(self.settings.api_variables(), overrides), "API_PORT"),
        };
        variables.insert(variable.into(), port.to_string());
        self.spawn(name, port, Vec::new(), variables, show)
    }

    /// Starts the simulator as a process and waits until it serves.
    pub fn start_simulator(&self) -> Result<Service> {
        let arguments = self.settings.simulator_arguments();
        let (port, variables) = (self.settings.ports.simulator, self.settings.simulator_variables());
        self.start_and_wait("simulator", port, arguments, variables, "/")
    }

    /// Runs a command of `web` (`keys rotate`) until it ends, and returns its output.
    pub fn run_web(&self, arguments: &[&str]) -> Result<String> {
        service::run_command(self.binaries.path("web")?, arguments, &self.settings.web_variables())
    }

    /// Runs SQL as the services' role and returns psql's output: one line per row, columns separated by `|`.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.cluster.query(STACK_DATABASE, sql)
    }

    /// Returns the number of events without an outcome, including those not yet moved into the queue.
    pub fn count_pending_events(&self) -> Result<usize> {
        let waiting = "select (select count(*) from events where outcome is null)
                            + (select coalesce(sum(event_count), 0) from event_inbox)";
        Ok(self.query(waiting)?.parse()?)
    }

    /// Returns the name of the services' database.
    pub fn database(&self) -> &'static str {
        STACK_DATABASE
    }

    fn start_service(&self, name: &str, port: u16, variables: Variables) -> Result<Service> {
        self.start_and_wait(name, port, Vec::new(), variables, "/health/ready")
    }

    fn start_and_wait(
        &self,
        name: &str,
        port: u16,
        arguments: Vec<String>,
        variables: Variables,
        ready_path: &str,
    ) -> Result<Service> {
        let mut service = self.spawn(name, port, arguments, variables, Arc::new(|_: &str| ()))?;
        service.wait_until_ready(ready_path, SERVICE_START_TIMEOUT)?;
        Ok(service)
    }

    fn spawn(
        &self,
        name: &str,
        port: u16,
        arguments: Vec<String>,
        variables: Variables,
        show: LogSink,
    ) -> Result<Service> {
        let program = self.binaries.path(name)?;
        Service::start(ServiceSpec { name, program, arguments, variables, port, log_sink: show })
    }
}

fn with_overrides(mut variables: Variables, overrides: &[(&str, &str)]) -> Variables {
    variables.extend(overrides.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    variables
}
