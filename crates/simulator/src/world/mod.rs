//! All that the simulated Slack knows, in memory.

mod actions;
mod enterprise;
mod events;
mod file;
mod install;
mod interactions;
mod look;
mod message;
mod others;
mod person;
mod post;
mod responses;
mod sign_in;
mod stream;
mod surface;
mod team;
mod tokens;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;

pub(crate) use actions::with_ids;
pub(crate) use enterprise::Enterprise;
use file::Files;
pub use file::{File, NewFile};
pub(crate) use install::{Code, Grant};
pub(crate) use interactions::{Click, Command, VERIFICATION_TOKEN};
pub use look::{Call, Delivery, ModelAnswer};
pub use message::Message;
pub(crate) use message::{Content, millis_of};
pub use others::OtherBot;
pub use person::Person;
pub(crate) use post::FILE_SHARE;
pub use post::PostMessage;
pub(crate) use responses::{Asked, ResponseUrl, Showing};
pub(crate) use sign_in::{IdKey, SignIn};
pub(crate) use surface::ASSISTANT_THREAD;
pub use team::Installation;
pub(crate) use team::{APP_ID, Channel, Session, Team};
use tokens::Tokens;

use crate::settings::Settings;
use crate::web_api::{Fault, Limits};

/// How many calls, deliveries and model requests are remembered.
const REMEMBERED: usize = 20_000;

/// The state of the simulated Slack; looked at through [`crate::Simulator::wait_for`].
pub struct World {
    pub(crate) settings: Settings,
    pub(crate) teams: BTreeMap<String, Team>,
    pub(crate) enterprises: BTreeMap<String, Enterprise>,
    pub(crate) tokens: Tokens,
    pub(crate) codes: HashMap<String, Code>,
    /// Sign-ins by their code, with when it was given out.
    pub(crate) sign_ins: HashMap<String, (SignIn, Instant)>,
    id_key: Option<Arc<IdKey>>,
    /// By the secret in their path.
    pub(crate) response_urls: HashMap<String, ResponseUrl>,
    files: Files,
    pub(crate) faults: HashMap<String, VecDeque<Fault>>,
    pub(crate) limits: Limits,
    /// What Slack's clock is ahead of this machine's.
    pub(crate) clock_ahead: TimeDelta,
    pub(crate) model_override: Option<String>,
    pub(crate) model_failures: u64,
    model_requests: VecDeque<Value>,
    model_answers: VecDeque<ModelAnswer>,
    calls: VecDeque<Call>,
    deliveries: VecDeque<Delivery>,
    /// What is to happen outside as soon as the lock is let go.
    pub(crate) effects: Vec<Effect>,
    last_ts: u64,
}

/// What follows from a change of the world.
pub(crate) enum Effect {
    Changed(Change),
    /// An envelope to post to the app, `copies` times at once.
    Deliver {
        body: bytes::Bytes,
        copies: usize,
    },
    /// Slack ends a stream some minutes after its start, whoever writes to it.
    EndStream {
        team: String,
        channel: String,
        ts: String,
        after: Duration,
    },
}

/// Where something changed; who wants to know what, looks.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Change {
    Message { team: String, channel: String, ts: String },
    Deleted { team: String, channel: String, ts: String },
    Status { team: String, channel: String, thread_ts: String },
    Home { team: String, user: String },
    Team { team: String },
    Logged,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut world = Self {
            settings,
            teams: BTreeMap::new(),
            enterprises: BTreeMap::new(),
            tokens: Tokens::default(),
            codes: HashMap::new(),
            sign_ins: HashMap::new(),
            id_key: None,
            response_urls: HashMap::new(),
            files: Files::default(),
            faults: HashMap::new(),
            limits: Limits::default(),
            clock_ahead: TimeDelta::zero(),
            model_override: None,
            model_failures: 0,
            model_requests: VecDeque::new(),
            model_answers: VecDeque::new(),
            calls: VecDeque::new(),
            deliveries: VecDeque::new(),
            effects: Vec::new(),
            last_ts: 0,
        };
        world.add_team("T0ACME", "Acme");
        world
    }

    pub(crate) fn add_team(&mut self, id: &str, name: &str) {
        self.teams.entry(id.to_owned()).or_insert_with(|| Team::new(id, name));
        self.changed(Change::Team { team: id.to_owned() });
    }

    pub(crate) fn changed(&mut self, change: Change) {
        self.effects.push(Effect::Changed(change));
    }

    /// A `ts` as Slack writes it, `seconds.micros`, later than every one before it.
    pub(crate) fn next_ts(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ts = u64::try_from(now.as_micros()).unwrap_or(u64::MAX).max(self.last_ts + 1);
        format!("{}.{:06}", self.last_ts / 1_000_000, self.last_ts % 1_000_000)
    }

    /// The team in which a person was made; for Slack Connect it is not always the channel's.
    pub(crate) fn home_of(&self, user: &str) -> Option<&Team> {
        self.teams.values().find(|team| team.person(user).is_some())
    }

    pub(crate) fn channel_mut(&mut self, team: &str, channel: &str) -> Option<&mut Channel> {
        self.teams.get_mut(team)?.channels.get_mut(channel)
    }

    pub(crate) fn message_mut(&mut self, team: &str, channel: &str, ts: &str) -> Option<&mut Message> {
        self.channel_mut(team, channel)?.messages.get_mut(ts)
    }
}

/// Pushes, and forgets the oldest beyond what is remembered.
fn remember<T>(log: &mut VecDeque<T>, entry: T) {
    if log.len() == REMEMBERED {
        log.pop_front();
    }
    log.push_back(entry);
}
