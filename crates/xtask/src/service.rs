//! A program of the checkout, running as a child.

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

/// What sees each line a service prints, as it comes.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The contract gives a service 30 s to end after SIGTERM.
const SERVICE_STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// So many of its last lines are kept.
const MAX_KEPT_LINES: usize = 10_000;

/// What the system gives every program; of all else a service sees only its own variables.
const INHERITED_VARIABLES: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"];

/// How a service is started.
#[derive(Clone)]
pub struct ServiceSpec<'a> {
    /// The name in what is shown.
    pub name: &'a str,
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, besides what the system gives every program.
    pub variables: Variables,
    /// The port on which these make it listen.
    pub port: u16,
    /// What sees its lines.
    pub log_sink: LogSink,
}

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    /// The name in what is shown.
    pub name: String,
    /// The port on 127.0.0.1.
    pub port: u16,
    child: Child,
    started: Instant,
    ready_after: Duration,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Service {
    /// Starts it; see [`Service::wait_until_ready`].
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

    /// How long after its start it was ready.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How it ended, if it did.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// What it has printed, to stdout and stderr.
    pub fn log_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The end of what it has printed.
    pub fn last_log_lines(&self, count: usize) -> String {
        let lines = self.log_lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// The memory it holds, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kibibytes.context("no VmRSS")? * 1024)
    }

    /// Asks it to end (SIGTERM) without waiting.
    pub fn terminate(&self) {
        child_process::send_signal(self.pid(), Signal::TERM);
    }

    /// Asks it to end and waits; one that takes longer than the contract allows is killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        Ok(child_process::stop(&mut self.child, Signal::TERM, SERVICE_STOP_TIMEOUT)?)
    }

    /// Kills it (SIGKILL) and waits.
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

/// Runs a command of a service (`web migrate`) to its end, and returns what it prints.
pub fn run_command(program: &Path, arguments: &[&str], variables: &Variables) -> Result<String> {
    workspace::output(isolate(Command::new(program).args(arguments), variables))
}

/// A service sees only its own variables, and no `.env` file of the folder it happens to run in.
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
