//! Many workspaces with the bot installed, in a simulated Slack without rate limits and an offline model,
//! both in this process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use simulator::{PostMessage, Simulator};
use tokio::runtime::Runtime;

use crate::binaries::Binaries;
use crate::browser::Browser;
use crate::cluster::ClusterOptions;
use crate::progress::step;
use crate::service::Service;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::workspace;

pub(super) const FIXTURE_TEAMS: usize = 20;

/// The people whom the simulator creates in each team.
const FIXTURE_USERS: [&str; 3] = ["ADA", "GRACE", "LINUS"];

const STORE_DELAY: Duration = Duration::from_millis(500);

/// A DM with the bot.
struct TeamDm {
    team: String,
    user: String,
    channel: String,
}

/// The workspaces and the services that they use.
pub(super) struct BenchFixture {
    pub(super) stack: Stack,
    pub(super) simulator: Simulator,
    dms: Vec<TeamDm>,
    // Dropped after everything that runs on it.
    _runtime: Runtime,
}

impl BenchFixture {
    /// Installs the bot in every team through `web`'s pages.
    pub(super) fn build(binaries: &Binaries) -> Result<Self> {
        let folder = workspace::target().join("bench/postgres");
        let options = ClusterOptions { fsync: true, is_ephemeral: true };
        let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
        let ports = stack.settings.ports;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let settings = simulator::SimulatorSettings {
            port: ports.simulator,
            events_url: format!("http://127.0.0.1:{}/slack/events", ports.api),
            install_url: format!("http://127.0.0.1:{}/slack/install", ports.web),
            has_rate_limits: false,
            ..simulator::SimulatorSettings::default()
        };
        let simulator = runtime.block_on(Simulator::start(settings))?;
        let web = stack.start_web(&[])?;
        let places = step("installing the bot in all workspaces", || {
            (0..FIXTURE_TEAMS)
                .map(|number| install_team(&simulator, &web, number))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Self { stack, simulator, dms: places.into_iter().flatten().collect(), _runtime: runtime })
    }

    /// Starts `api` and waits until it has no work left.
    pub(super) fn api(&self, overrides: &[(&str, &str)]) -> Result<Service> {
        self.replica(self.stack.settings.ports.api, overrides)
    }

    /// Starts a replica of `api` on its own port.
    pub(super) fn replica(&self, port: u16, overrides: &[(&str, &str)]) -> Result<Service> {
        let mut variables = vec![("LOG_LEVEL", "WARN")];
        variables.extend(overrides);
        let api = self.stack.start_api_on(port, &variables)?;
        self.wait_until_drained(Duration::from_secs(30))?;
        Ok(api)
    }

    /// Sets the speed of the model from now on, through its name's query.
    pub(super) fn set_model(&self, ttft: Duration, word_interval: Duration, words: usize) {
        let (ttft, gap) = (ttft.as_millis(), word_interval.as_millis());
        self.simulator.set_model_options(&format!("ttft={ttft}&gap={gap}&words={words}"));
    }

    /// Sends a message in the next DM, team by team, and returns its `ts`.
    pub(super) fn send_message(&self, number: usize) -> Result<String> {
        self.send_in_dm(&self.dms[number % self.dms.len()], number)
    }

    /// Sends a message in the DM of this team's admin.
    pub(super) fn send_to_team(&self, team: usize, number: usize) -> Result<String> {
        self.send_in_dm(self.dms.get(team * FIXTURE_USERS.len()).context("no such team")?, number)
    }

    /// Sends `count` messages evenly over `time`, starting with number `first`. Returns the `ts` of each.
    pub(super) fn send_evenly(&self, first: usize, count: usize, time: Duration) -> Result<Vec<String>> {
        let began = Instant::now();
        let ask = |index: usize| {
            let due = time.mul_f64(index as f64 / count as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            self.send_message(first + index)
        };
        (0..count).map(ask).collect()
    }

    /// Waits until every event has an outcome.
    pub(super) fn wait_until_drained(&self, timeout: Duration) -> Result<()> {
        // The last messages may not be stored yet.
        std::thread::sleep(STORE_DELAY);
        let began = Instant::now();
        while self.stack.count_pending_events()? > 0 {
            if began.elapsed() > timeout {
                bail!("{} events still wait after {timeout:?}", self.stack.count_pending_events()?);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn send_in_dm(&self, place: &TeamDm, number: usize) -> Result<String> {
        self.simulator.post(PostMessage {
            team: place.team.clone(),
            channel: place.channel.clone(),
            user: place.user.clone(),
            text: format!("Please answer question <{number}>"),
            ..PostMessage::default()
        })
    }
}

/// Creates a team, installs the bot in it, and opens everyone's DM.
fn install_team(simulator: &Simulator, web: &Service, number: usize) -> Result<Vec<TeamDm>> {
    let (team, ending) = (format!("T0TOWN{number}"), format!("TOWN{number}"));
    simulator.add_team(&team, &format!("Town {number}"));
    let mut browser = Browser::default();
    let consent = browser.get(&format!("{}/slack/install", web.url()))?;
    let back = simulator.allow(&format!("{}&team={team}", consent.url))?;
    let end = browser.get(&back)?;
    if end.response.status != 200 {
        bail!("the installation ended with {} at {}", end.response.status, end.url);
    }
    let place = |person: &&str| {
        let user = format!("U0{person}{ending}");
        let channel = simulator.dm(&team, &user).with_context(|| format!("no DM of {user}"))?;
        Ok(TeamDm { team: team.clone(), user, channel })
    };
    FIXTURE_USERS.iter().map(place).collect()
}
