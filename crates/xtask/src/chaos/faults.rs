//! Injects random faults.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use simulator::{InjectedFault, Simulator};

use super::failover::TakeoverTracker;
use super::infra::Infra;
use super::instances::ServiceInstance;
use crate::cluster::Cluster;

/// The steps of a reply at which `api` can be killed or stopped. The list is part of `api`.
const FAIL_POINTS: &str = include_str!("../../../api/src/fail_points.txt");

const FAULTY_METHODS: [&str; 8] = [
    "chat.startStream",
    "chat.appendStream",
    "chat.stopStream",
    "chat.postMessage",
    "chat.update",
    "conversations.replies",
    "agents.sessions.setStatus",
    "users.info",
];

/// Ways in which the model misbehaves until the next fault of the model.
const FAULTY_MODELS: [&str; 5] =
    ["fail=500&fail_times=3", "cut=4", "stall=5", "ttft=1500&gap=60", "fail=429&fail_times=2"];

/// A working model: fast, but slow enough for a replica to die in the middle of a reply.
pub(super) const HEALTHY_MODEL: &str = "ttft=100&gap=15";

/// Everything that can be broken.
pub(super) struct FaultContext<'a> {
    pub(super) apis: &'a mut [ServiceInstance],
    pub(super) webs: &'a mut [ServiceInstance],
    pub(super) simulator: &'a Simulator,
    pub(super) infra: &'a mut Infra,
    pub(super) cluster: &'a mut Cluster,
    pub(super) takeovers: &'a mut TakeoverTracker,
}

impl FaultContext<'_> {
    /// Injects a fault and returns its description.
    pub(super) fn inject_fault(&mut self, rng: &mut StdRng) -> Result<String> {
        let pause = Duration::from_millis(rng.random_range(300..5_000));
        Ok(match rng.random_range(0..26) {
            0..=10 => self.inject_instance_fault(rng, pause),
            11 => {
                let web = rng.random_range(0..self.webs.len());
                self.webs[web].kill(pause, None);
                format!("web {web} is killed")
            }
            12..=13 => {
                self.infra.cut_connections(pause / 2);
                format!("Postgres and Redis are cut off for {:?}", pause / 2)
            }
            14..=15 => {
                let model = FAULTY_MODELS.choose(rng).copied().unwrap_or_default();
                self.simulator.set_model_options(model);
                format!("the model: {model}")
            }
            16 => {
                self.simulator.set_model_options(HEALTHY_MODEL);
                "the model is sound".to_owned()
            }
            17 => {
                self.infra.crash_postgres(self.cluster, pause / 2)?;
                format!("Postgres crashes and is down for {:?}", pause / 2)
            }
            18..=19 => {
                self.infra.pooler.kill(pause / 2)?;
                format!("pgBouncer is killed for {:?}", pause / 2)
            }
            20 => {
                self.infra.pooler.suspend(pause);
                format!("pgBouncer is suspended for {pause:?}")
            }
            21 => {
                self.infra.redis.kill(pause)?;
                format!("Redis is killed for {pause:?}")
            }
            22 => {
                self.infra.redis.suspend(pause);
                format!("Redis is suspended for {pause:?}")
            }
            _ => {
                let method = FAULTY_METHODS.choose(rng).copied().unwrap_or_default();
                let faults = [
                    InjectedFault::ResponseLost,
                    InjectedFault::ResponseLost,
                    InjectedFault::HttpStatus(503),
                    InjectedFault::RateLimited { retry_after: 1 },
                    InjectedFault::Delay(pause / 2),
                    InjectedFault::Error("internal_error"),
                ];
                let fault = faults.choose(rng).copied().unwrap_or(InjectedFault::ResponseLost);
                self.simulator.inject_fault(method, fault, rng.random_range(1..4));
                format!("{method}: {fault:?}")
            }
        })
    }

    /// Breaks a replica. At least one stays healthy.
    fn inject_instance_fault(&mut self, rng: &mut StdRng, pause: Duration) -> String {
        let is_spared =
            |at: usize| (0..self.apis.len()).any(|other| other != at && self.apis[other].is_healthy());
        let up: Vec<usize> =
            (0..self.apis.len()).filter(|&at| self.apis[at].is_up() && is_spared(at)).collect();
        let Some(&at) = up.choose(rng) else { return "nothing: one replica is left".to_owned() };
        let api = &mut self.apis[at];
        match rng.random_range(0..11) {
            0..=1 => api.kill(pause, None),
            2 => {
                api.terminate();
                return format!("api {at} is terminated");
            }
            3..=4 => {
                api.suspend(pause * 2);
                self.takeovers.record_failure();
                return format!("api {at} is suspended for {:?}", pause * 2);
            }
            _ => {
                let names: Vec<&str> = FAIL_POINTS.lines().collect();
                let name = names.choose(rng).copied().unwrap_or_default();
                let action = if rng.random_bool(0.6) { "kill" } else { "stop" };
                let armed = format!("{name}={}*off->1*return({action})", rng.random_range(1..6));
                api.kill(pause, Some(armed.clone()));
                self.takeovers.record_failure();
                return format!("api {at} is killed and restarts with {armed}");
            }
        }
        self.takeovers.record_failure();
        format!("api {at} is killed for {pause:?}")
    }
}
