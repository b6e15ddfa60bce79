//! The in-memory state of the simulated Slack.

mod agent_events;
mod block_actions;
mod enterprise;
mod events;
mod external_users;
mod file;
mod file_uploads;
mod inspect;
mod install;
mod install_grant;
mod interactions;
mod log_entries;
mod message;
mod person;
mod post;
mod response_target;
mod response_urls;
mod sign_in;
mod sign_in_codes;
mod stream;
mod team;
mod tokens;
mod user_objects;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;

pub(crate) use agent_events::ASSISTANT_THREAD_SUBTYPE;
pub(crate) use block_actions::assign_ids;
pub use external_users::OtherBot;
use file::FileStore;
pub use file::{NewFile, SlackFile};
pub(crate) use install_grant::{InstallCode, InstallGrant};
pub(crate) use interactions::{Click, SlashCommand, VERIFICATION_TOKEN};
pub use log_entries::{Call, DeliveryAttempt, ModelCompletion};
pub use message::SlackMessage;
pub(crate) use message::{MessageContent, parse_millis};
pub use person::SimulatedUser;
pub(crate) use post::FILE_SHARE_SUBTYPE;
pub use post::PostMessage;
pub(crate) use response_target::{ResponseMode, ResponseTarget, ResponseUrl};
pub(crate) use sign_in::{ApprovedSignIn, IdTokenKey};
pub use team::AppInstallation;
pub(crate) use team::{APP_ID, AgentSession, Channel, Enterprise, Team};
use tokens::TokenStore;

use crate::settings::SimulatorSettings;
use crate::web_api::{InjectedFault, MethodRateLimiter};

/// Maximum remembered calls, deliveries and model requests.
const MAX_LOG_ENTRIES: usize = 20_000;

/// The state of the simulated Slack; tests read it through [`crate::Simulator::wait_for`].
pub struct FakeSlack {
    pub(crate) settings: SimulatorSettings,
    pub(crate) teams: BTreeMap<String, Team>,
    pub(crate) enterprises: BTreeMap<String, Enterprise>,
    pub(crate) tokens: TokenStore,
    pub(crate) codes: HashMap<String, InstallCode>,
    /// Sign-ins by code, with the time of issue.
    pub(crate) sign_ins: HashMap<String, (ApprovedSignIn, Instant)>,
    id_token_key: Option<Arc<IdTokenKey>>,
    /// Keyed by the secret in their path.
    pub(crate) response_urls: HashMap<String, ResponseUrl>,
    files: FileStore,
    pub(crate) faults: HashMap<String, VecDeque<InjectedFault>>,
    pub(crate) rate_limiter: MethodRateLimiter,
    /// Offset of Slack's clock from this machine's.
    pub(crate) clock_offset: TimeDelta,
    pub(crate) model_options_override: Option<String>,
    pub(crate) model_failure_count: u64,
    model_requests: VecDeque<Value>,
    model_completions: VecDeque<ModelCompletion>,
    calls: VecDeque<Call>,
    deliveries: VecDeque<DeliveryAttempt>,
    /// Effects to run once the lock is released.
    pub(crate) effects: Vec<Effect>,
    last_ts: u64,
}

/// Effects of a state change.
pub(crate) enum Effect {
    Changed(StateChange),
    /// Posts an envelope to the app `copies` times concurrently.
    Deliver {
        body: bytes::Bytes,
        copies: usize,
    },
    /// Ends a stream some minutes after its start, even while the app appends to it.
    ExpireStream {
        team: String,
        channel: String,
        ts: String,
        after: Duration,
    },
}

/// Location of a change; readers look up the details.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum StateChange {
    Message { team: String, channel: String, ts: String },
    Deleted { team: String, channel: String, ts: String },
    Status { team: String, channel: String, thread_ts: String },
    Home { team: String, user: String },
    Team { team: String },
    Logged,
}

impl FakeSlack {
    pub(crate) fn new(settings: SimulatorSettings) -> Self {
        let mut slack = Self {
            settings,
            teams: BTreeMap::new(),
            enterprises: BTreeMap::new(),
            tokens: TokenStore::default(),
            codes: HashMap::new(),
            sign_ins: HashMap::new(),
            id_token_key: None,
            response_urls: HashMap::new(),
            files: FileStore::default(),
            faults: HashMap::new(),
            rate_limiter: MethodRateLimiter::default(),
            clock_offset: TimeDelta::zero(),
            model_options_override: None,
            model_failure_count: 0,
            model_requests: VecDeque::new(),
            model_completions: VecDeque::new(),
            calls: VecDeque::new(),
            deliveries: VecDeque::new(),
            effects: Vec::new(),
            last_ts: 0,
        };
        slack.add_team("T0ACME", "Acme");
        slack
    }

    /// Returns the base address of this Slack.
    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.settings.port)
    }

    pub(crate) fn add_team(&mut self, id: &str, name: &str) {
        self.teams.entry(id.to_owned()).or_insert_with(|| Team::new(id, name));
        self.notify(StateChange::Team { team: id.to_owned() });
    }

    pub(crate) fn notify(&mut self, change: StateChange) {
        self.effects.push(Effect::Changed(change));
    }

    /// Returns a new `ts` (`seconds.micros`), later than every earlier one.
    pub(crate) fn next_ts(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ts = u64::try_from(now.as_micros()).unwrap_or(u64::MAX).max(self.last_ts + 1);
        format!("{}.{:06}", self.last_ts / 1_000_000, self.last_ts % 1_000_000)
    }

    /// Returns the person's home team; in Slack Connect it may differ from the channel's.
    pub(crate) fn find_home_team(&self, user: &str) -> Option<&Team> {
        self.teams.values().find(|team| team.find_person(user).is_some())
    }

    pub(crate) fn channel_mut(&mut self, team: &str, channel: &str) -> Option<&mut Channel> {
        self.teams.get_mut(team)?.channels.get_mut(channel)
    }

    pub(crate) fn message_mut(&mut self, team: &str, channel: &str, ts: &str) -> Option<&mut SlackMessage> {
        self.channel_mut(team, channel)?.messages.get_mut(ts)
    }
}

/// Pushes an entry and drops the oldest beyond the limit.
fn push_bounded<T>(log: &mut VecDeque<T>, entry: T) {
    if log.len() == MAX_LOG_ENTRIES {
        log.pop_front();
    }
    log.push_back(entry);
}
