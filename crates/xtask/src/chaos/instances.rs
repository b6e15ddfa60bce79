//! The replicas and their faults. Only processes that were started here are touched.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::child_process::{self, Signal};
use crate::http;
use crate::service::{LogSink, Service};
use crate::stack::Stack;

/// The pause of a replica that suspended itself at a fail point: longer than a lease.
const SUSPEND_DURATION: Duration = Duration::from_secs(8);

/// The time before a replica that ended by itself is restarted.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The time limit for a replica to become ready.
const INSTANCE_START_TIMEOUT: Duration = Duration::from_secs(20);

enum InstanceState {
    /// Started but not ready: its infrastructure may be down.
    Starting {
        service: Service,
        start_deadline: Instant,
    },
    Up(Service),
    Suspended {
        service: Service,
        until: Instant,
    },
    Down {
        until: Instant,
    },
}

/// A replica of `api` or `web` on its own port.
pub(super) struct ServiceInstance {
    name: &'static str,
    port: u16,
    state: InstanceState,
    /// The step at which it will die or be suspended.
    fail_point: Option<String>,
    /// True once it was asked to end: it takes over no more work.
    is_terminating: bool,
    /// Receives its log lines.
    log_sink: LogSink,
}

impl ServiceInstance {
    /// Creates a replica that starts with the next [`ServiceInstance::poll`]. The log of all its processes
    /// goes to one file.
    pub(super) fn new(name: &'static str, port: u16, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let show = Arc::new(move |line: &str| drop(writeln!(&file, "{line}")));
        Ok(Self {
            name,
            port,
            state: InstanceState::Down { until: Instant::now() },
            fail_point: None,
            is_terminating: false,
            log_sink: show,
        })
    }

    /// Returns whether it works and has no fault planned.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_up() && self.fail_point.is_none() && !self.is_terminating
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, InstanceState::Up(_))
    }

    /// Kills it. It restarts after `away`, with a fail point or not.
    pub(super) fn kill(&mut self, away: Duration, fail_point: Option<String>) {
        self.state = InstanceState::Down { until: Instant::now() + away };
        self.fail_point = fail_point;
    }

    /// Asks it to end. It is restarted afterwards.
    pub(super) fn terminate(&mut self) {
        if let InstanceState::Up(service) = &self.state {
            service.terminate();
            self.is_terminating = true;
        }
    }

    /// Suspends it for a while.
    pub(super) fn suspend(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        self.change_state(|state| match state {
            InstanceState::Up(service) => {
                child_process::send_signal(service.pid(), Signal::STOP);
                InstanceState::Suspended { service, until }
            }
            state => state,
        });
    }

    /// Restarts it if its time has come. Returns true if it has died or suspended itself since the last poll.
    pub(super) fn poll(&mut self, stack: &Stack, overrides: &[(&str, &str)]) -> Result<bool> {
        let (mut fell, now) = (false, Instant::now());
        let (name, port, armed, show) =
            (self.name, self.port, self.fail_point.clone(), Arc::clone(&self.log_sink));
        self.change_state(|state| match state {
            InstanceState::Up(mut service) => {
                if !matches!(service.exit_status(), Ok(None)) {
                    fell = true;
                    InstanceState::Down { until: now + RESTART_DELAY }
                } else if is_suspended(&service) {
                    fell = true;
                    InstanceState::Suspended { service, until: now + SUSPEND_DURATION }
                } else {
                    InstanceState::Up(service)
                }
            }
            InstanceState::Suspended { service, until } if now >= until => {
                child_process::send_signal(service.pid(), Signal::CONT);
                InstanceState::Up(service)
            }
            InstanceState::Down { until } if now >= until => {
                let mut own = overrides.to_vec();
                own.extend(armed.as_deref().map(|armed| ("FAILPOINTS", armed)));
                match stack.spawn_instance(name, port, &own, show) {
                    Ok(service) => {
                        InstanceState::Starting { service, start_deadline: now + INSTANCE_START_TIMEOUT }
                    }
                    Err(_) => InstanceState::Down { until: now + RESTART_DELAY },
                }
            }
            // Without Postgres it does not start, and one with a fail point may die early.
            InstanceState::Starting { mut service, start_deadline: given_up_at } => {
                if !matches!(service.exit_status(), Ok(None)) || is_suspended(&service) || now >= given_up_at
                {
                    InstanceState::Down { until: now + RESTART_DELAY }
                } else if http::is_ok(port, "/health/ready") {
                    InstanceState::Up(service)
                } else {
                    InstanceState::Starting { service, start_deadline: given_up_at }
                }
            }
            state => state,
        });
        if fell {
            self.fail_point = None;
        }
        self.is_terminating &= self.is_up();
        Ok(fell)
    }

    /// Cancels its planned faults.
    pub(super) fn end_faults(&mut self) {
        let armed = self.fail_point.take().is_some();
        let now = Instant::now();
        self.change_state(|state| match state {
            InstanceState::Up(_) | InstanceState::Starting { .. } if armed => {
                InstanceState::Down { until: now }
            }
            InstanceState::Suspended { service, .. } => InstanceState::Suspended { service, until: now },
            state => state,
        });
    }

    fn change_state(&mut self, change: impl FnOnce(InstanceState) -> InstanceState) {
        let between = InstanceState::Down { until: Instant::now() };
        self.state = change(std::mem::replace(&mut self.state, between));
    }
}

/// Returns whether the kernel reports it as stopped.
fn is_suspended(service: &Service) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", service.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
