//! The state behind its lock, and the effects of its changes.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use slack::SigningSecret;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::delivery;
use crate::fake_slack::{Effect, FakeSlack, StateChange};
use crate::settings::SimulatorSettings;

/// Changes a slow reader may be behind before it has to look afresh.
const MAX_BUFFERED_CHANGES: usize = 4096;

/// State shared by all routes and tasks of one simulator.
pub(crate) struct SimulatorState {
    slack: Mutex<FakeSlack>,
    pub(crate) changes: broadcast::Sender<StateChange>,
    /// True once the simulator stops; open streams end by it.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) events_urls: Mutex<Vec<String>>,
    pub(crate) next_url_index: AtomicUsize,
    pub(crate) http: reqwest::Client,
    pub(crate) signing_secret: SigningSecret,
    pub(crate) settings: SimulatorSettings,
    runtime: Handle,
}

impl SimulatorState {
    /// Must be called on a Tokio runtime, which then carries the deliveries.
    pub(crate) fn new(settings: SimulatorSettings) -> anyhow::Result<Self> {
        Ok(Self {
            slack: Mutex::new(FakeSlack::new(settings.clone())),
            changes: broadcast::Sender::new(MAX_BUFFERED_CHANGES),
            stopping: watch::Sender::new(false),
            events_urls: Mutex::new(vec![settings.events_url.clone()]),
            next_url_index: AtomicUsize::new(0),
            http: delivery::http_client(settings.ack_timeout)?,
            signing_secret: SigningSecret::new(settings.signing_secret.clone().into()),
            settings,
            runtime: Handle::current(),
        })
    }

    /// Runs a function with the locked state, then sends its effects in their order.
    pub(crate) fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut FakeSlack) -> T) -> T {
        let mut slack = self.slack.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut slack);
        for effect in std::mem::take(&mut slack.effects) {
            self.apply_effect(effect);
        }
        result
    }

    fn apply_effect(self: &Arc<Self>, effect: Effect) {
        match effect {
            // Nobody looking is no error.
            Effect::Changed(change) => drop(self.changes.send(change)),
            Effect::Deliver { body, copies } => {
                for _ in 0..copies {
                    self.runtime.spawn(delivery::deliver_with_retries(Arc::downgrade(self), body.clone()));
                }
            }
            Effect::ExpireStream { team, channel, ts, after } => {
                let shared = Arc::downgrade(self);
                self.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    if let Some(shared) = shared.upgrade() {
                        shared.with(|slack| slack.expire_stream(&team, &channel, &ts));
                    }
                });
            }
        }
    }
}
