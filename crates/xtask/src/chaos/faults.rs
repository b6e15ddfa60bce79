//! What goes wrong next, by chance.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use simulator::{Fault, Simulator};

use super::base::Base;
use super::fleet::Replica;
use super::takeovers::Takeovers;
use crate::cluster::Cluster;

/// The steps of a reply at which `api` can be killed or stopped; the list is its own.
const FAIL_POINTS: &str = include_str!("../../../api/src/fail_points.txt");

const METHODS: [&str; 8] = [
    "chat.startStream",
    "chat.appendStream",
    "chat.stopStream",
    "chat.postMessage",
    "chat.update",
    "conversations.replies",
    "agents.sessions.setStatus",
    "users.info",
];

/// How the model misbehaves, until the next fault of the model.
const MODELS: [&str; 5] =
    ["fail=500&fail_times=3", "cut=4", "stall=5", "ttft=1500&gap=60", "fail=429&fail_times=2"];

/// The model as it should be: quick, but not so quick that nobody could die meanwhile.
pub(super) const SOUND_MODEL: &str = "ttft=100&gap=15";

/// What can be broken.
pub(super) struct Ground<'a> {
    pub(super) apis: &'a mut [Replica],
    pub(super) webs: &'a mut [Replica],
    pub(super) simulator: &'a Simulator,
    pub(super) base: &'a mut Base,
    pub(super) cluster: &'a mut Cluster,
    pub(super) takeovers: &'a mut Takeovers,
}

impl Ground<'_> {
    /// Breaks something; what it was, in words.
    pub(super) fn break_something(&mut self, chance: &mut StdRng) -> Result<String> {
        let pause = Duration::from_millis(chance.random_range(300..5_000));
        Ok(match chance.random_range(0..26) {
            0..=10 => self.break_replica(chance, pause),
            11 => {
                let web = chance.random_range(0..self.webs.len());
                self.webs[web].kill(pause, None);
                format!("web {web} is killed")
            }
            12..=13 => {
                self.base.cut(pause / 2);
                format!("Postgres and Redis are cut off for {:?}", pause / 2)
            }
            14..=15 => {
                let model = MODELS.choose(chance).copied().unwrap_or_default();
                self.simulator.set_model_behaviour(model);
                format!("the model: {model}")
            }
            16 => {
                self.simulator.set_model_behaviour(SOUND_MODEL);
                "the model is sound".to_owned()
            }
            17 => {
                self.base.crash_postgres(self.cluster, pause / 2)?;
                format!("Postgres crashes, and is away for {:?}", pause / 2)
            }
            18..=19 => {
                self.base.pooler.kill(pause / 2)?;
                format!("pgBouncer is killed for {:?}", pause / 2)
            }
            20 => {
                self.base.pooler.stop(pause);
                format!("pgBouncer is stopped for {pause:?}")
            }
            21 => {
                self.base.redis.kill(pause)?;
                format!("Redis is killed for {pause:?}")
            }
            22 => {
                self.base.redis.stop(pause);
                format!("Redis is stopped for {pause:?}")
            }
            _ => {
                let method = METHODS.choose(chance).copied().unwrap_or_default();
                let faults = [
                    Fault::AfterEffect,
                    Fault::AfterEffect,
                    Fault::Http(503),
                    Fault::RateLimited { retry_after: 1 },
                    Fault::Hang(pause / 2),
                    Fault::Error("internal_error"),
                ];
                let fault = faults.choose(chance).copied().unwrap_or(Fault::AfterEffect);
                self.simulator.fail(method, fault, chance.random_range(1..4));
                format!("{method}: {fault:?}")
            }
        })
    }

    /// One replica at least is left alone.
    fn break_replica(&mut self, chance: &mut StdRng, pause: Duration) -> String {
        let is_spared =
            |at: usize| (0..self.apis.len()).any(|other| other != at && self.apis[other].is_sound());
        let up: Vec<usize> =
            (0..self.apis.len()).filter(|&at| self.apis[at].is_up() && is_spared(at)).collect();
        let Some(&at) = up.choose(chance) else { return "nothing: one replica is left".to_owned() };
        let api = &mut self.apis[at];
        match chance.random_range(0..11) {
            0..=1 => api.kill(pause, None),
            2 => {
                api.terminate();
                return format!("api {at} is told to end");
            }
            3..=4 => {
                api.stop(pause * 2);
                self.takeovers.note_death();
                return format!("api {at} is stopped for {:?}", pause * 2);
            }
            _ => {
                let names: Vec<&str> = FAIL_POINTS.lines().collect();
                let name = names.choose(chance).copied().unwrap_or_default();
                let action = if chance.random_bool(0.6) { "kill" } else { "stop" };
                let armed = format!("{name}={}*off->1*return({action})", chance.random_range(1..6));
                api.kill(pause, Some(armed.clone()));
                self.takeovers.note_death();
                return format!("api {at} is killed, and comes back with {armed}");
            }
        }
        self.takeovers.note_death();
        format!("api {at} is killed for {pause:?}")
    }
}
