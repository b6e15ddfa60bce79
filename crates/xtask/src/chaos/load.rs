//! Sends messages: direct messages, mentions, and replies in existing threads.

use anyhow::{Context, Result};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use simulator::{PostMessage, Simulator};

use crate::{http, settings::StackSettings};

/// The workspaces, by the suffix of their ids.
const TEAM_SUFFIXES: [&str; 4] = ["", "BETA", "GAMMA", "DELTA"];
const LOAD_USERS: [&str; 3] = ["U0ADA", "U0GRACE", "U0LINUS"];

/// The number of recent threads to write in.
const MAX_RECENT_MESSAGES: usize = 16;

/// A message that needs a reply.
pub(super) struct SentMessage {
    pub(super) team: String,
    pub(super) channel: String,
    pub(super) thread_ts: String,
    pub(super) ts: String,
    /// The expected reply. It has a unique beginning.
    pub(super) expected_reply: String,
}

impl SentMessage {
    /// Returns the beginning that only its own reply has.
    pub(super) fn unique_prefix(&self) -> &str {
        self.expected_reply.split_inclusive('.').next().unwrap_or_default()
    }
}

pub(super) struct LoadGenerator {
    simulator: Simulator,
    pub(super) sent: Vec<SentMessage>,
}

impl LoadGenerator {
    /// Installs the bot in every workspace, as an admin's browser does.
    pub(super) fn install(simulator: &Simulator, settings: &StackSettings) -> Result<Self> {
        for ending in TEAM_SUFFIXES {
            let team = team_id(ending);
            if !ending.is_empty() {
                simulator.add_team(&team, ending);
            }
            let web = settings.ports.web;
            let begun = http::send_request(web, "GET", "/slack/install", &[], "")?;
            let cookie = begun.header("set-cookie").and_then(|cookie| cookie.split(';').next());
            let consent = begun.header("location").context("the install page does not redirect to Slack")?;
            let back = simulator.allow(&format!("{consent}&team={team}"))?;
            let path = back.split_once("/slack/").context("Slack does not redirect back")?.1;
            let cookie = [("Cookie", cookie.unwrap_or_default())];
            let end = http::send_request(web, "GET", &format!("/slack/{path}"), &cookie, "")?;
            anyhow::ensure!(end.status == 200, "the installation ended with {}", end.status);
            simulator.invite(&team, "general")?;
        }
        Ok(Self { simulator: simulator.clone(), sent: Vec::new() })
    }

    /// Sends a random message.
    pub(super) fn send_message(&mut self, rng: &mut StdRng) -> Result<()> {
        let recent = &self.sent[self.sent.len().saturating_sub(MAX_RECENT_MESSAGES)..];
        let thread = recent.choose(rng).filter(|_| rng.random_bool(0.4));
        let ending = TEAM_SUFFIXES.choose(rng).copied().unwrap_or_default();
        let person = LOAD_USERS.choose(rng).copied().unwrap_or_default();
        let (team, channel, thread_ts) = match thread {
            Some(asked) => (asked.team.clone(), asked.channel.clone(), Some(asked.thread_ts.clone())),
            None if rng.random_bool(0.3) => (team_id(ending), format!("C0GENERAL{ending}"), None),
            None => {
                let (team, user) = (team_id(ending), format!("{person}{ending}"));
                let dm = self.simulator.dm(&team, &user).context("no such person")?;
                (team, dm, None)
            }
        };
        let words = rng.random_range(3..40);
        let answer = format!("Answer {}. It has{} words.", self.sent.len(), " one word more,".repeat(words));
        let installation = self.simulator.installation(&team).context("not installed")?;
        // In a direct message a mention does no harm.
        let text = format!("<@{}> say: {answer}", installation.bot_user_id);
        let ending = if team == "T0ACME" { "" } else { team.trim_start_matches("T0") };
        let user = match channel.starts_with('D') {
            true => self.dm_owner(&team, ending, &channel)?,
            false => format!("{person}{ending}"),
        };
        let (team_, channel_) = (team.clone(), channel.clone());
        let message = PostMessage {
            team: team_,
            channel: channel_,
            user,
            text,
            thread_ts: thread_ts.clone(),
            ..PostMessage::default()
        };
        let ts = self.simulator.post(message)?;
        self.sent.push(SentMessage {
            team,
            channel,
            thread_ts: thread_ts.unwrap_or(ts.clone()),
            ts,
            expected_reply: answer,
        });
        Ok(())
    }

    /// Returns the owner of a DM.
    fn dm_owner(&self, team: &str, ending: &str, dm: &str) -> Result<String> {
        let people = LOAD_USERS.map(|person| format!("{person}{ending}"));
        let of = |user: &String| self.simulator.dm(team, user).as_deref() == Some(dm);
        people.into_iter().find(of).context("the DM has no owner")
    }
}

fn team_id(suffix: &str) -> String {
    if suffix.is_empty() { "T0ACME".to_owned() } else { format!("T0{suffix}") }
}
