//! A program of the checkout, running as a child process.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child_process::{self, Signal};
use crate::{http, workspace};

/// Environment variables, by name.
pub type Variables = BTreeMap<String, String>;

/// Receives each line that a service prints, as it comes.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The contract gives a service 30 s to end after SIGTERM.
const SERVICE_STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// The number of last lines that are kept.
const MAX_KEPT_LINES: usize = 10_000;

/// The variables that a service inherits. Apart from these it sees only its own.
const INHERITED_VARIABLES: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"];

/// The program, arguments and environment of a service.
#[derive(Clone)]
pub struct ServiceSpec<'a> {
    /// The name to show.
    pub name: &'a str,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, in addition to the inherited variables.
    pub variables: Variables,
    /// The port that these make it listen on.
    pub port: u16,
    /// Receives its lines.
    pub log_sink: LogSink,
}

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    /// The name to show.
    pub name: String,
    /// The port on 127.0.0.1.
    pub port: u16,
    child: Child,
    started: Instant,
    ready_after: Duration,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Service {
    /// Starts the service; see [`Service::wait_until_ready`].
    pub fn start(start: ServiceSpec) -> Result<Self> {
        let mut command = child_process::with_parent_death_signal(start.program, "TERM");
        isolate(command.args(&start.arguments), &start.variables);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child =
            child_process::spawn(command).with_context(|| format!("cannot start {}", start.name))?;
        let lines = Arc::default();
        if let (Some(out), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
            collect_lines(out, Arc::clone(&lines), Arc::clone(&start.log_sink));
            collect_lines(errors, Arc::clone(&lines), start.log_sink);
        }
        Ok(Self {
            name: start.name.to_owned(),
            port: start.port,
            child,
            started,
            ready_after: Duration::ZERO,
            lines,
        })
    }

    /// Waits until a GET of `path` is answered with 200.
    pub fn wait_until_ready(&mut self, path: &str, timeout: Duration) -> Result<()> {
        while !http::is_ok(self.port, path) {
            if let Some(status) = self.exit_status()? {
                bail!("{} ended ({status}) before it was ready.\n{}", self.name, self.last_log_lines(20));
            }
            if self.started.elapsed() > timeout {
                bail!("{} is not ready after {timeout:?}.\n{}", self.name, self.last_log_lines(20));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.ready_after = self.started.elapsed();
        Ok(())
    }

    /// Returns the time from start to readiness.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns its exit status if it has ended.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Returns the lines that it has printed to stdout and stderr.
    pub fn log_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns the last lines that it has printed.
    pub fn last_log_lines(&self, count: usize) -> String {
        let lines = self.log_lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Returns its resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kibibytes.context("no VmRSS")? * 1024)
    }

    /// Sends SIGTERM without waiting.
    pub fn terminate(&self) {
        child_process::send_signal(self.pid(), Signal::TERM);
    }

    /// Sends SIGTERM and waits. Kills it if it takes longer than the contract allows.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        Ok(child_process::stop(&mut self.child, Signal::TERM, SERVICE_STOP_TIMEOUT)?)
    }

    /// Sends SIGKILL and waits.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Runs a command of a service (`web migrate`) until it ends, and returns its output.
pub fn run_command(program: &Path, arguments: &[&str], variables: &Variables) -> Result<String> {
    workspace::output(isolate(Command::new(program).args(arguments), variables))
}

/// Gives the command only the service's own variables, and a folder without `.env` files.
fn isolate<'a>(command: &'a mut Command, variables: &Variables) -> &'a mut Command {
    let inherited = INHERITED_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(inherited).envs(variables).current_dir(workspace::target())
}

fn collect_lines(stream: impl Read + Send + 'static, lines: Arc<Mutex<VecDeque<String>>>, log_sink: LogSink) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            log_sink(&line);
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == MAX_KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
}
