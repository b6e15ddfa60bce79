//! The world behind its lock, and what its changes set going.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use slack::SigningSecret;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::delivery;
use crate::settings::Settings;
use crate::world::{Change, Effect, World};

/// Changes a slow reader may be behind before it has to look afresh.
const CHANGES_KEPT: usize = 4096;

/// What all routes and tasks of one simulator share.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) changes: broadcast::Sender<Change>,
    /// True once the simulator stops; open streams end by it.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) events_urls: Mutex<Vec<String>>,
    pub(crate) next_url: AtomicUsize,
    pub(crate) http: reqwest::Client,
    pub(crate) secret: SigningSecret,
    pub(crate) settings: Settings,
    runtime: Handle,
}

impl Shared {
    /// Must be called on a Tokio runtime, which then carries the deliveries.
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Self> {
        Ok(Self {
            world: Mutex::new(World::new(settings.clone())),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            stopping: watch::Sender::new(false),
            events_urls: Mutex::new(vec![settings.events_url.clone()]),
            next_url: AtomicUsize::new(0),
            http: delivery::client(settings.ack_timeout)?,
            secret: SigningSecret::new(settings.signing_secret.clone().into()),
            settings,
            runtime: Handle::current(),
        })
    }

    /// Works on the world under its lock, then lets its effects go out in the order in which they arose.
    pub(crate) fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut world);
        for effect in std::mem::take(&mut world.effects) {
            self.act_on(effect);
        }
        result
    }

    fn act_on(self: &Arc<Self>, effect: Effect) {
        match effect {
            // Nobody looking is no error.
            Effect::Changed(change) => drop(self.changes.send(change)),
            Effect::Deliver { body, copies } => {
                for _ in 0..copies {
                    self.runtime.spawn(delivery::deliver(Arc::downgrade(self), body.clone()));
                }
            }
            Effect::EndStream { team, channel, ts, after } => {
                let shared = Arc::downgrade(self);
                self.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    if let Some(shared) = shared.upgrade() {
                        shared.with(|world| world.expire_stream(&team, &channel, &ts));
                    }
                });
            }
        }
    }
}
