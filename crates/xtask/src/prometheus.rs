//! A Prometheus with the files of `deploy/prometheus` that scrapes a test's services every second, and the
//! blackbox exporter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use crate::child_process::Signal;
use crate::cluster::free_port;
use crate::system_packages::{self, SystemPackage};
use crate::{child_process, http, workspace};

const PROMETHEUS_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The targets that Prometheus scrapes.
#[derive(Debug)]
pub struct ScrapeTargets<'a> {
    /// Ports of `api`'s replicas.
    pub api: &'a [u16],
    /// Ports of `web`'s replicas.
    pub web: &'a [u16],
    /// The public address, the PEM file of its trusted certificate, and its host name.
    pub public: (&'a str, &'a Path, &'a str),
}

/// A running Prometheus and its exporter. Dropping it ends both.
#[derive(Debug)]
pub struct Prometheus {
    folder: PathBuf,
    port: u16,
    processes: Vec<Child>,
}

/// Returns the path of a program of Prometheus' package: `promtool` is installed beside `prometheus`.
pub fn promtool() -> Result<PathBuf> {
    Ok(system_packages::find_or_install(SystemPackage::Prometheus)?.with_file_name("promtool"))
}

impl Prometheus {
    /// Starts both and waits until Prometheus is ready.
    pub fn start(targets: &ScrapeTargets<'_>) -> Result<Self> {
        let (program, exporter) = (
            system_packages::find_or_install(SystemPackage::Prometheus)?,
            system_packages::find_or_install(SystemPackage::Blackbox)?,
        );
        let (port, exporter_port) = (free_port()?, free_port()?);
        let folder = workspace::target().join(format!("test/prometheus-{}-{port}", std::process::id()));
        write_config(&folder, targets, exporter_port)?;
        let mut prometheus = Self { folder, port, processes: Vec::new() };
        prometheus.launch(
            &exporter,
            &["--config.file=blackbox.yml", &format!("--web.listen-address=127.0.0.1:{exporter_port}")],
        )?;
        prometheus.launch(
            &program,
            &[
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                &format!("--web.listen-address=127.0.0.1:{port}"),
            ],
        )?;
        let until = Instant::now() + PROMETHEUS_READY_TIMEOUT;
        while !http::is_ok(port, "/-/ready") {
            if Instant::now() > until {
                bail!("Prometheus did not start:\n{}", prometheus.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(prometheus)
    }

    /// Returns the `data` of an API response, for a path below `/api/v1/`.
    pub fn query_api(&self, path: &str) -> Result<Value> {
        let answer = http::send_request(self.port, "GET", &format!("/api/v1/{path}"), &[], "")?;
        let mut body: Value = serde_json::from_str(&answer.body).context("the response is not JSON")?;
        if body["status"] != "success" {
            bail!("{path}: {}", body["error"]);
        }
        Ok(body["data"].take())
    }

    /// Returns the current values of an expression. Fails if the expression is invalid or has no value, which
    /// means that it names a metric that no service exports.
    pub fn list_values(&self, expression: &str) -> Result<Vec<f64>> {
        let encoded: String = byte_serialize(expression.as_bytes()).collect();
        let data = self.query_api(&format!("query?query={encoded}"))?;
        let samples = data["result"].as_array().context("the result is not a vector")?;
        let values = samples.iter().filter_map(|sample| sample["value"][1].as_str()?.parse().ok());
        let values: Vec<f64> = values.filter(|value: &f64| !value.is_nan()).collect();
        if values.is_empty() {
            bail!("no data: {expression}");
        }
        Ok(values)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn launch(&mut self, program: &Path, arguments: &[&str]) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = child_process::with_parent_death_signal(program, "TERM");
        command.args(arguments).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process =
            child_process::spawn(command).with_context(|| format!("cannot start {}", program.display()))?;
        self.processes.push(process);
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = child_process::stop(process, Signal::TERM, PROMETHEUS_READY_TIMEOUT);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Writes the files with other targets, a shorter scrape interval, and the certificate that the exporter
/// trusts.
fn write_config(folder: &Path, targets: &ScrapeTargets<'_>, exporter_port: u16) -> Result<()> {
    let from = workspace::root().join("deploy/prometheus");
    fs::create_dir_all(folder.join("targets"))?;
    workspace::output(Command::new("cp").arg("-r").arg(from.join("rules")).arg(folder))?;
    let list = |ports: &[u16]| {
        ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect::<Vec<_>>().join(", ")
    };
    let replace = |file: &str, pairs: &[(&str, String)]| -> Result<()> {
        let mut text = fs::read_to_string(from.join(file))?;
        for (known, own) in pairs {
            if !text.contains(known) {
                bail!("{file} has no {known}");
            }
            text = text.replace(known, own);
        }
        Ok(fs::write(folder.join(file), text)?)
    };
    replace(
        "prometheus.yml",
        &[
            ("\"api1:8001\", \"api2:8001\", \"api3:8001\"", list(targets.api)),
            ("\"web1:8000\", \"web2:8000\"", list(targets.web)),
            ("blackbox:9115", format!("127.0.0.1:{exporter_port}")),
            ("interval: 15s", "interval: 1s".to_owned()),
        ],
    )?;
    let (address, authority, host) = targets.public;
    let believed = format!("ca_file: {}\n        server_name: {host}", authority.display());
    replace("blackbox.yml", &[("insecure_skip_verify: false", believed)])?;
    Ok(fs::write(folder.join("targets/public.yml"), format!("- targets: [\"{address}\"]\n"))?)
}
