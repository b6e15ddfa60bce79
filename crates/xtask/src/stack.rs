//! A migrated database of its own, and the programs of the checkout on top of it; for tests and benchmarks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::binaries::Binaries;
use crate::cluster::{Cluster, Options};
use crate::service::{self, Service, Show, Start, Variables};
use crate::settings::{Ports, Secrets, Settings};

const DATABASE: &str = "enablebot";
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The ground on which services are started; they are to be dropped before it.
#[derive(Debug)]
pub struct Stack {
    /// What the services are told, unless a start says otherwise.
    pub settings: Settings,
    /// Their Postgres.
    pub cluster: Cluster,
    binaries: Binaries,
}

impl Stack {
    /// Starts Postgres in `folder`, and lets `web migrate` make an empty database ready. The simulator is whatever
    /// listens on its port: [`Stack::simulator`], or one in this process.
    pub fn start(binaries: &Binaries, folder: &Path, options: Options, ports: Ports) -> Result<Self> {
        let cluster = Cluster::start(folder, options)?;
        cluster.drop_database(DATABASE)?;
        cluster.create_database(DATABASE)?;
        let settings = Settings::simulated(ports, cluster.url(DATABASE), Secrets::random()?);
        service::run(binaries.path("web")?, &["migrate"], &settings.web())?;
        Ok(Self { settings, cluster, binaries: binaries.clone() })
    }

    /// Starts `web`, with some variables changed, and waits until it is ready.
    pub fn web(&self, own: &[(&str, &str)]) -> Result<Service> {
        self.service("web", self.settings.ports.web, with(self.settings.web(), own))
    }

    /// Starts `api`, with some variables changed, and waits until it is ready.
    pub fn api(&self, own: &[(&str, &str)]) -> Result<Service> {
        self.service("api", self.settings.ports.api, with(self.settings.api(), own))
    }

    /// Starts one more replica of `api`, on a port of its own.
    pub fn api_on(&self, port: u16, own: &[(&str, &str)]) -> Result<Service> {
        let mut variables = with(self.settings.api(), own);
        variables.insert("API_PORT".into(), port.to_string());
        self.service("api", port, variables)
    }

    /// Starts one more replica of `api` or `web`, on a port of its own, and does not wait for it.
    pub fn replica(&self, name: &str, port: u16, own: &[(&str, &str)], show: Show) -> Result<Service> {
        let (mut variables, variable) = match name {
            "web" => (with(self.settings.web(), own), "WEB_PORT"),
            _ => (with(self.settings.api(), own), "API_PORT"),
        };
        variables.insert(variable.into(), port.to_string());
        self.begin(name, port, Vec::new(), variables, show)
    }

    /// Starts the simulator as a process, and waits until it serves.
    pub fn simulator(&self) -> Result<Service> {
        let arguments = self.settings.simulator_arguments();
        let (port, variables) = (self.settings.ports.simulator, self.settings.simulator());
        self.launch("simulator", port, arguments, variables, "/")
    }

    /// Runs a command of `web` (`keys rotate`) to its end, and returns what it prints.
    pub fn run_web(&self, arguments: &[&str]) -> Result<String> {
        service::run(self.binaries.path("web")?, arguments, &self.settings.web())
    }

    /// Runs SQL as the role of the services and returns what psql prints: columns parted by `|`, a row a line.
    pub fn ask(&self, sql: &str) -> Result<String> {
        self.cluster.ask(DATABASE, sql)
    }

    /// How many events have no outcome yet, those that are not sorted into the queue among them.
    pub fn waiting(&self) -> Result<usize> {
        let waiting = "select (select count(*) from events where outcome is null)
                            + (select coalesce(sum(event_count), 0) from deliveries)";
        Ok(self.ask(waiting)?.parse()?)
    }

    /// The name of the database of the services.
    pub fn database(&self) -> &'static str {
        DATABASE
    }

    fn service(&self, name: &str, port: u16, variables: Variables) -> Result<Service> {
        self.launch(name, port, Vec::new(), variables, "/health/ready")
    }

    fn launch(
        &self,
        name: &str,
        port: u16,
        arguments: Vec<String>,
        variables: Variables,
        ready: &str,
    ) -> Result<Service> {
        let mut service = self.begin(name, port, arguments, variables, Arc::new(|_: &str| ()))?;
        service.wait_ready(ready, START_PATIENCE)?;
        Ok(service)
    }

    fn begin(
        &self,
        name: &str,
        port: u16,
        arguments: Vec<String>,
        variables: Variables,
        show: Show,
    ) -> Result<Service> {
        let program = self.binaries.path(name)?;
        Service::start(Start { name, program, arguments, variables, port, show })
    }
}

fn with(mut variables: Variables, own: &[(&str, &str)]) -> Variables {
    variables.extend(own.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    variables
}
