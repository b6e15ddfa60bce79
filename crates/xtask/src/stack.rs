//! A migrated database of its own, and the programs of the checkout on top of it; for tests and benchmarks.

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

/// The ground on which services are started; they are to be dropped before it.
#[derive(Debug)]
pub struct Stack {
    /// What the services are told, unless a start says otherwise.
    pub settings: StackSettings,
    /// Their Postgres.
    pub cluster: Cluster,
    binaries: Binaries,
}

impl Stack {
    /// Starts Postgres in `folder`, and lets `web migrate` make an empty database ready. The simulator is whatever
    /// listens on its port: [`Stack::simulator`], or one in this process.
    pub fn start(binaries: &Binaries, folder: &Path, options: ClusterOptions, ports: Ports) -> Result<Self> {
        let cluster = Cluster::start(folder, options)?;
        cluster.drop_database(STACK_DATABASE)?;
        cluster.create_database(STACK_DATABASE)?;
        let settings = StackSettings::simulated(ports, cluster.url(STACK_DATABASE), Secrets::generate()?);
        service::run_command(binaries.path("web")?, &["migrate"], &settings.web_variables())?;
        Ok(Self { settings, cluster, binaries: binaries.clone() })
    }

    /// Starts `web`, with some variables changed, and waits until it is ready.
    pub fn start_web(&self, overrides: &[(&str, &str)]) -> Result<Service> {
        self.start_service(
            "web",
            self.settings.ports.web,
            with_overrides(self.settings.web_variables(), overrides),
        )
    }

    /// Starts `api`, with some variables changed, and waits until it is ready.
    pub fn start_api(&self, overrides: &[(&str, &str)]) -> Result<Service> {
        self.start_service(
            "api",
            self.settings.ports.api,
            with_overrides(self.settings.api_variables(), overrides),
        )
    }

    /// Starts one more replica of `api`, on a port of its own.
    pub fn start_api_on(&self, port: u16, overrides: &[(&str, &str)]) -> Result<Service> {
        let mut variables = with_overrides(self.settings.api_variables(), overrides);
        variables.insert("API_PORT".into(), port.to_string());
        self.start_service("api", port, variables)
    }

    /// Starts one more replica of `api` or `web`, on a port of its own, and does not wait for it.
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

    /// Starts the simulator as a process, and waits until it serves.
    pub fn start_simulator(&self) -> Result<Service> {
        let arguments = self.settings.simulator_arguments();
        let (port, variables) = (self.settings.ports.simulator, self.settings.simulator_variables());
        self.start_and_wait("simulator", port, arguments, variables, "/")
    }

    /// Runs a command of `web` (`keys rotate`) to its end, and returns what it prints.
    pub fn run_web(&self, arguments: &[&str]) -> Result<String> {
        service::run_command(self.binaries.path("web")?, arguments, &self.settings.web_variables())
    }

    /// Runs SQL as the role of the services and returns what psql prints: columns parted by `|`, a row a line.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.cluster.query(STACK_DATABASE, sql)
    }

    /// How many events have no outcome yet, those that are not sorted into the queue among them.
    pub fn count_pending_events(&self) -> Result<usize> {
        let waiting = "select (select count(*) from events where outcome is null)
                            + (select coalesce(sum(event_count), 0) from deliveries)";
        Ok(self.query(waiting)?.parse()?)
    }

    /// The name of the database of the services.
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
