//! The replicas, and what befalls them. Only processes that were started here are touched.

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

/// How long a replica stands still that stopped itself at a fail point: longer than a lease.
const SUSPEND_DURATION: Duration = Duration::from_secs(8);

/// How long a replica is away that ended by itself.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How long a replica may take to be ready.
const INSTANCE_START_TIMEOUT: Duration = Duration::from_secs(20);

enum InstanceState {
    /// Started, and not ready yet: what it needs may be away.
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

/// A replica of `api` or `web` on a port of its own.
pub(super) struct ServiceInstance {
    name: &'static str,
    port: u16,
    state: InstanceState,
    /// The step at which it will die or stand still.
    fail_point: Option<String>,
    /// It was asked to end: it takes nothing over any more.
    is_terminating: bool,
    /// What sees what it logs.
    log_sink: LogSink,
}

impl ServiceInstance {
    /// Starts with the next [`Replica::tend`]; what it logs in all its lives goes to a file.
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

    /// Whether it works, and nothing is planned for it.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_up() && self.fail_point.is_none() && !self.is_terminating
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, InstanceState::Up(_))
    }

    /// Kills it; it comes back after `away`, armed or not.
    pub(super) fn kill(&mut self, away: Duration, fail_point: Option<String>) {
        self.state = InstanceState::Down { until: Instant::now() + away };
        self.fail_point = fail_point;
    }

    /// Asks it to end; it comes back by itself.
    pub(super) fn terminate(&mut self) {
        if let InstanceState::Up(service) = &self.state {
            service.terminate();
            self.is_terminating = true;
        }
    }

    /// Lets it stand still for a while.
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

    /// Whoever was away for long enough comes back. True if it has died, or stopped by itself, since the last look.
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
            // Without Postgres it does not start, and an armed one may not get far.
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

    /// Ends what was planned for it.
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

/// As the kernel sees it.
fn is_suspended(service: &Service) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", service.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
