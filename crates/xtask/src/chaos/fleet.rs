//! The replicas, and what befalls them. Only processes that were started here are touched.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::http;
use crate::launch::{self, Signal};
use crate::service::{Service, Show};
use crate::stack::Stack;

/// How long a replica stands still that stopped itself at a fail point: longer than a lease.
const STANDSTILL: Duration = Duration::from_secs(8);

/// How long a replica is away that ended by itself.
const AWAY: Duration = Duration::from_secs(1);

/// How long a replica may take to be ready.
const COMING: Duration = Duration::from_secs(20);

enum State {
    /// Started, and not ready yet: what it needs may be away.
    Coming {
        service: Service,
        given_up_at: Instant,
    },
    Up(Service),
    Stopped {
        service: Service,
        until: Instant,
    },
    Down {
        until: Instant,
    },
}

/// A replica of `api` or `web` on a port of its own.
pub(super) struct Replica {
    name: &'static str,
    port: u16,
    state: State,
    /// The step at which it will die or stand still.
    armed: Option<String>,
    /// It was asked to end: it takes nothing over any more.
    is_leaving: bool,
    /// What sees what it logs.
    show: Show,
}

impl Replica {
    /// Starts with the next [`Replica::tend`]; what it logs in all its lives goes to a file.
    pub(super) fn new(name: &'static str, port: u16, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let show = Arc::new(move |line: &str| drop(writeln!(&file, "{line}")));
        Ok(Self {
            name,
            port,
            state: State::Down { until: Instant::now() },
            armed: None,
            is_leaving: false,
            show,
        })
    }

    /// Whether it works, and nothing is planned for it.
    pub(super) fn is_sound(&self) -> bool {
        self.is_up() && self.armed.is_none() && !self.is_leaving
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Kills it; it comes back after `away`, armed or not.
    pub(super) fn kill(&mut self, away: Duration, armed: Option<String>) {
        self.state = State::Down { until: Instant::now() + away };
        self.armed = armed;
    }

    /// Asks it to end; it comes back by itself.
    pub(super) fn terminate(&mut self) {
        if let State::Up(service) = &self.state {
            service.terminate();
            self.is_leaving = true;
        }
    }

    /// Lets it stand still for a while.
    pub(super) fn stop(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        self.change(|state| match state {
            State::Up(service) => {
                launch::send(service.pid(), Signal::STOP);
                State::Stopped { service, until }
            }
            state => state,
        });
    }

    /// Whoever was away for long enough comes back. True if it has died, or stopped by itself, since the last look.
    pub(super) fn tend(&mut self, stack: &Stack, own: &[(&str, &str)]) -> Result<bool> {
        let (mut fell, now) = (false, Instant::now());
        let (name, port, armed, show) = (self.name, self.port, self.armed.clone(), Arc::clone(&self.show));
        self.change(|state| match state {
            State::Up(mut service) => {
                if !matches!(service.exited(), Ok(None)) {
                    fell = true;
                    State::Down { until: now + AWAY }
                } else if stands_still(&service) {
                    fell = true;
                    State::Stopped { service, until: now + STANDSTILL }
                } else {
                    State::Up(service)
                }
            }
            State::Stopped { service, until } if now >= until => {
                launch::send(service.pid(), Signal::CONT);
                State::Up(service)
            }
            State::Down { until } if now >= until => {
                let mut own = own.to_vec();
                own.extend(armed.as_deref().map(|armed| ("FAILPOINTS", armed)));
                match stack.replica(name, port, &own, show) {
                    Ok(service) => State::Coming { service, given_up_at: now + COMING },
                    Err(_) => State::Down { until: now + AWAY },
                }
            }
            // Without Postgres it does not start, and an armed one may not get far.
            State::Coming { mut service, given_up_at } => {
                if !matches!(service.exited(), Ok(None)) || stands_still(&service) || now >= given_up_at {
                    State::Down { until: now + AWAY }
                } else if http::is_ok(port, "/health/ready") {
                    State::Up(service)
                } else {
                    State::Coming { service, given_up_at }
                }
            }
            state => state,
        });
        if fell {
            self.armed = None;
        }
        self.is_leaving &= self.is_up();
        Ok(fell)
    }

    /// Ends what was planned for it.
    pub(super) fn mend(&mut self) {
        let armed = self.armed.take().is_some();
        let now = Instant::now();
        self.change(|state| match state {
            State::Up(_) | State::Coming { .. } if armed => State::Down { until: now },
            State::Stopped { service, .. } => State::Stopped { service, until: now },
            state => state,
        });
    }

    fn change(&mut self, change: impl FnOnce(State) -> State) {
        let between = State::Down { until: Instant::now() };
        self.state = change(std::mem::replace(&mut self.state, between));
    }
}

/// As the kernel sees it.
fn stands_still(service: &Service) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", service.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
