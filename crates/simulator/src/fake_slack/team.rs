//! A workspace with its people and channels, and an organisation of workspaces.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::message::SlackMessage;
use super::person::SimulatedUser;

/// The only app of this Slack.
pub(crate) const APP_ID: &str = "A0SIMULATED";

/// `assistant.threads.setStatus` fades by itself after two minutes without a message.
const STATUS_LIFETIME: Duration = Duration::from_secs(120);
/// A session's `processing` lapses to `active` after an hour (<https://docs.slack.dev/ai/agent-sessions>).
const PROCESSING_LIFETIME: Duration = Duration::from_secs(3600);
/// Maximum messages kept in a channel; older ones are dropped.
const MAX_CHANNEL_MESSAGES: usize = 20_000;

/// The app's installation in a team or organisation.
#[derive(Clone, Debug, Default)]
pub struct AppInstallation {
    /// The newest bot token, `xoxb-…`, or `xoxe.xoxb-…` if tokens rotate.
    pub token: String,
    /// The single-use refresh token `xoxe-1-…`, if tokens rotate.
    pub refresh_token: Option<String>,
    /// True if it is for an organisation and not for one team.
    pub is_enterprise_install: bool,
    /// `B…`, as in the `bot_id` of its messages.
    pub bot_id: String,
    /// `U…`, to mention it by.
    pub bot_user_id: String,
    /// Granted scopes; they accumulate over installs, as in Slack.
    pub scopes: BTreeSet<String>,
    /// The person who approved it.
    pub installed_by: String,
}

/// An organisation of several workspaces (Enterprise Grid).
pub(crate) struct Enterprise {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) teams: BTreeSet<String>,
    /// The workspaces that an admin added the app to. A new org-wide install is in none.
    pub(crate) granted_teams: BTreeSet<String>,
    /// The app's org-wide install. A granted team holds a copy of it.
    pub(crate) installation: Option<AppInstallation>,
}

/// The app's last status in a thread.
#[derive(Clone, Default)]
pub(crate) struct AgentSession {
    pub(crate) status_text: Option<(String, Instant)>,
    pub(crate) state: Option<(String, Instant)>,
    pub(crate) title: Option<String>,
    pub(crate) suggested_prompts: Option<Value>,
}

impl AgentSession {
    /// Returns the status that a person sees now.
    pub(crate) fn visible_status(&self) -> Option<String> {
        let fresh = |(value, since): &(String, Instant), lifetime| {
            (since.elapsed() < lifetime).then(|| value.clone())
        };
        let text = self.status_text.as_ref().and_then(|text| fresh(text, STATUS_LIFETIME));
        let state = || self.state.as_ref().and_then(|state| fresh(state, PROCESSING_LIFETIME));
        text.or_else(|| state().filter(|state| state == "processing"))
    }
}

pub(crate) struct Channel {
    pub(crate) id: String,
    /// `None` for a DM.
    pub(crate) name: Option<String>,
    /// The person in a DM.
    pub(crate) person: Option<String>,
    pub(crate) is_bot_member: bool,
    /// The teams of other organisations it is shared with (Slack Connect).
    pub(crate) shared_with: BTreeSet<String>,
    pub(crate) messages: BTreeMap<String, SlackMessage>,
    /// The replies' `ts` by their root's.
    pub(crate) replies: HashMap<String, Vec<String>>,
    pub(crate) ephemerals: Vec<(String, SlackMessage)>,
}

impl Channel {
    pub(crate) fn new(id: String, name: Option<&str>, person: Option<&str>) -> Self {
        Self {
            id,
            name: name.map(Into::into),
            is_bot_member: person.is_some(),
            person: person.map(Into::into),
            shared_with: BTreeSet::new(),
            messages: BTreeMap::new(),
            replies: HashMap::new(),
            ephemerals: Vec::new(),
        }
    }

    pub(crate) fn is_ext_shared(&self) -> bool {
        !self.shared_with.is_empty()
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.person.is_some() { "im" } else { "channel" }
    }

    pub(crate) fn insert(&mut self, message: SlackMessage) {
        if let Some(root) = message.thread_ts.clone() {
            self.replies.entry(root).or_default().push(message.ts.clone());
        }
        self.messages.insert(message.ts.clone(), message);
        if self.messages.len() > MAX_CHANNEL_MESSAGES
            && let Some((ts, _)) = self.messages.pop_first()
        {
            self.replies.remove(&ts);
        }
    }

    pub(crate) fn remove(&mut self, ts: &str) -> Option<SlackMessage> {
        let message = self.messages.remove(ts)?;
        if let Some(replies) = message.thread_ts.as_ref().and_then(|root| self.replies.get_mut(root)) {
            replies.retain(|reply| reply != ts);
        }
        Some(message)
    }

    /// Returns a root and its replies, oldest first; empty if it is not a root.
    pub(crate) fn thread(&self, root: &str) -> Vec<&SlackMessage> {
        let replies = self.replies.get(root).into_iter().flatten();
        std::iter::once(root)
            .chain(replies.map(String::as_str))
            .filter_map(|ts| self.messages.get(ts))
            .collect()
    }
}

pub(crate) struct Team {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Its organisation on Enterprise Grid.
    pub(crate) enterprise: Option<String>,
    pub(crate) people: Vec<SimulatedUser>,
    pub(crate) channels: BTreeMap<String, Channel>,
    pub(crate) installation: Option<AppInstallation>,
    pub(crate) sessions: HashMap<(String, String), AgentSession>,
    pub(crate) homes: HashMap<String, Value>,
    /// The channel that each person views beside the app's conversation.
    pub(crate) viewed_channels: HashMap<String, String>,
}

impl Team {
    /// A team with three people, the first an admin, and two channels. The ids of the team `T0ACME` are
    /// short; others carry the team's, because Slack's ids are unique over teams.
    pub(crate) fn new(id: &str, name: &str) -> Self {
        let suffix = match id {
            "T0ACME" => "",
            other => other.trim_start_matches('T').trim_start_matches('0'),
        };
        let person = |name: &str, is_admin| SimulatedUser {
            id: format!("U0{}{suffix}", name.to_uppercase()),
            name: name.to_owned(),
            is_admin,
            is_owner: is_admin,
            ..SimulatedUser::default()
        };
        let channels = ["general", "random"].map(|name| {
            let id = format!("C0{}{suffix}", name.to_uppercase());
            (id.clone(), Channel::new(id, Some(name), None))
        });
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            enterprise: None,
            people: vec![person("Ada", true), person("Grace", false), person("Linus", false)],
            channels: channels.into(),
            installation: None,
            sessions: HashMap::new(),
            homes: HashMap::new(),
            viewed_channels: HashMap::new(),
        }
    }

    pub(crate) fn find_person(&self, user: &str) -> Option<&SimulatedUser> {
        self.people.iter().find(|person| person.id == user)
    }

    /// Finds a channel by id, name or `#name`.
    pub(crate) fn find_channel(&self, name: &str) -> Option<&Channel> {
        let bare = name.trim_start_matches('#');
        self.channels.get(name).or_else(|| self.channels.values().find(|c| c.name.as_deref() == Some(bare)))
    }

    /// Returns a person's DM with the bot and opens it if needed.
    pub(crate) fn open_dm(&mut self, user: &str) -> Option<String> {
        self.find_person(user)?;
        let id = format!("D{}", user.get(1..)?);
        self.channels.entry(id.clone()).or_insert_with(|| Channel::new(id.clone(), None, Some(user)));
        Some(id)
    }
}
