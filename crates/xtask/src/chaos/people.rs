//! People who ask: in direct messages, by mentions, and on in the threads that there are.

use anyhow::{Context, Result};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use simulator::{PostMessage, Simulator};

use crate::{http, settings::Settings};

/// Their workspaces, by the ending of the ids of what is in them.
const TEAMS: [&str; 4] = ["", "BETA", "GAMMA", "DELTA"];
const PEOPLE: [&str; 3] = ["U0ADA", "U0GRACE", "U0LINUS"];

/// Threads in which people go on.
const RECENT: usize = 16;

/// A message that wants an answer.
pub(super) struct Asked {
    pub(super) team: String,
    pub(super) channel: String,
    pub(super) thread_ts: String,
    pub(super) ts: String,
    /// The answer it wants; no other begins like it.
    pub(super) answer: String,
}

impl Asked {
    /// What only its own answer begins with.
    pub(super) fn mark(&self) -> &str {
        self.answer.split_inclusive('.').next().unwrap_or_default()
    }
}

pub(super) struct People {
    simulator: Simulator,
    pub(super) asked: Vec<Asked>,
}

impl People {
    /// Installs in every workspace, as an admin's browser does.
    pub(super) fn install(simulator: &Simulator, settings: &Settings) -> Result<Self> {
        for ending in TEAMS {
            let team = team(ending);
            if !ending.is_empty() {
                simulator.add_team(&team, ending);
            }
            let web = settings.ports.web;
            let begun = http::ask(web, "GET", "/slack/install", &[], "")?;
            let cookie = begun.header("set-cookie").and_then(|cookie| cookie.split(';').next());
            let consent = begun.header("location").context("no way to Slack")?;
            let back = simulator.allow(&format!("{consent}&team={team}"))?;
            let path = back.split_once("/slack/").context("no way back")?.1;
            let cookie = [("Cookie", cookie.unwrap_or_default())];
            let end = http::ask(web, "GET", &format!("/slack/{path}"), &cookie, "")?;
            anyhow::ensure!(end.status == 200, "the installation ended with {}", end.status);
            simulator.invite(&team, "general")?;
        }
        Ok(Self { simulator: simulator.clone(), asked: Vec::new() })
    }

    /// Somebody asks something somewhere.
    pub(super) fn ask(&mut self, chance: &mut StdRng) -> Result<()> {
        let recent = &self.asked[self.asked.len().saturating_sub(RECENT)..];
        let thread = recent.choose(chance).filter(|_| chance.random_bool(0.4));
        let ending = TEAMS.choose(chance).copied().unwrap_or_default();
        let person = PEOPLE.choose(chance).copied().unwrap_or_default();
        let (team, channel, thread_ts) = match thread {
            Some(asked) => (asked.team.clone(), asked.channel.clone(), Some(asked.thread_ts.clone())),
            None if chance.random_bool(0.3) => (team(ending), format!("C0GENERAL{ending}"), None),
            None => {
                let (team, user) = (team(ending), format!("{person}{ending}"));
                let dm = self.simulator.dm(&team, &user).context("no such person")?;
                (team, dm, None)
            }
        };
        let words = chance.random_range(3..40);
        let answer = format!("Answer {}. It has{} words.", self.asked.len(), " one word more,".repeat(words));
        let installation = self.simulator.installation(&team).context("not installed")?;
        // In a direct message a mention is no harm.
        let text = format!("<@{}> say: {answer}", installation.bot_user_id);
        let ending = if team == "T0ACME" { "" } else { team.trim_start_matches("T0") };
        let user = match channel.starts_with('D') {
            true => self.person_of(&team, ending, &channel)?,
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
        self.asked.push(Asked { team, channel, thread_ts: thread_ts.unwrap_or(ts.clone()), ts, answer });
        Ok(())
    }

    /// Whose direct messages these are.
    fn person_of(&self, team: &str, ending: &str, dm: &str) -> Result<String> {
        let people = PEOPLE.map(|person| format!("{person}{ending}"));
        let of = |user: &String| self.simulator.dm(team, user).as_deref() == Some(dm);
        people.into_iter().find(of).context("nobody's direct messages")
    }
}

fn team(ending: &str) -> String {
    if ending.is_empty() { "T0ACME".to_owned() } else { format!("T0{ending}") }
}
