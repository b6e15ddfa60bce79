//! Many workspaces with the bot in them, in a Slack without rate limits and with an offline model, both in this process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use simulator::{PostMessage, Simulator};
use tokio::runtime::Runtime;

use crate::binaries::Binaries;
use crate::browser::Browser;
use crate::cluster::Options;
use crate::progress::step;
use crate::service::Service;
use crate::settings::Ports;
use crate::stack::Stack;
use crate::workspace;

pub(super) const TEAMS: usize = 20;

/// People of each team, as the simulator makes them.
const PEOPLE: [&str; 3] = ["ADA", "GRACE", "LINUS"];

const STORED_WITHIN: Duration = Duration::from_millis(500);

/// A DM with the bot.
struct Place {
    team: String,
    user: String,
    channel: String,
}

/// The workspaces, and the services that they talk to.
pub(super) struct Town {
    pub(super) stack: Stack,
    pub(super) simulator: Simulator,
    places: Vec<Place>,
    // What runs on it goes first.
    _runtime: Runtime,
}

impl Town {
    /// Installs the bot in every team, through `web`'s own pages.
    pub(super) fn build(binaries: &Binaries) -> Result<Self> {
        let folder = workspace::target().join("bench/postgres");
        let options = Options { fsync: true, fresh: true };
        let stack = step("starting Postgres", || Stack::start(binaries, &folder, options, Ports::free()?))?;
        let ports = stack.settings.ports;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let settings = simulator::Settings {
            port: ports.simulator,
            events_url: format!("http://127.0.0.1:{}/slack/events", ports.api),
            install_url: format!("http://127.0.0.1:{}/slack/install", ports.web),
            rate_limits: false,
            ..simulator::Settings::default()
        };
        let simulator = runtime.block_on(Simulator::start(settings))?;
        let web = stack.web(&[])?;
        let places = step("installing the bot in all workspaces", || {
            (0..TEAMS).map(|number| settle(&simulator, &web, number)).collect::<Result<Vec<_>>>()
        })?;
        Ok(Self { stack, simulator, places: places.into_iter().flatten().collect(), _runtime: runtime })
    }

    /// Starts `api`, and waits until it has done what there was to do.
    pub(super) fn api(&self, own: &[(&str, &str)]) -> Result<Service> {
        self.replica(self.stack.settings.ports.api, own)
    }

    /// Starts a replica of `api` on a port of its own.
    pub(super) fn replica(&self, port: u16, own: &[(&str, &str)]) -> Result<Service> {
        let mut variables = vec![("LOG_LEVEL", "WARN")];
        variables.extend(own);
        let api = self.stack.api_on(port, &variables)?;
        self.wait_until_done(Duration::from_secs(30))?;
        Ok(api)
    }

    /// How the model answers from now on, as its name's query has it.
    pub(super) fn set_model(&self, ttft: Duration, gap: Duration, words: usize) {
        let (ttft, gap) = (ttft.as_millis(), gap.as_millis());
        self.simulator.set_model_behaviour(&format!("ttft={ttft}&gap={gap}&words={words}"));
    }

    /// Asks in the next DM, team by team, and returns the message's `ts`.
    pub(super) fn ask(&self, number: usize) -> Result<String> {
        self.ask_in(&self.places[number % self.places.len()], number)
    }

    /// Asks in the DM of this team's admin.
    pub(super) fn ask_of_team(&self, team: usize, number: usize) -> Result<String> {
        self.ask_in(self.places.get(team * PEOPLE.len()).context("no such team")?, number)
    }

    /// Asks `count` times, evenly over `time`, from `first` on; the `ts` of each.
    pub(super) fn ask_evenly(&self, first: usize, count: usize, time: Duration) -> Result<Vec<String>> {
        let began = Instant::now();
        let ask = |index: usize| {
            let due = time.mul_f64(index as f64 / count as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            self.ask(first + index)
        };
        (0..count).map(ask).collect()
    }

    /// Waits until every event has its outcome.
    pub(super) fn wait_until_done(&self, patience: Duration) -> Result<()> {
        // What was asked just now is not stored yet.
        std::thread::sleep(STORED_WITHIN);
        let began = Instant::now();
        while self.stack.waiting()? > 0 {
            if began.elapsed() > patience {
                bail!("{} events still wait after {patience:?}", self.stack.waiting()?);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn ask_in(&self, place: &Place, number: usize) -> Result<String> {
        self.simulator.post(PostMessage {
            team: place.team.clone(),
            channel: place.channel.clone(),
            user: place.user.clone(),
            text: format!("Please answer question <{number}>"),
            ..PostMessage::default()
        })
    }
}

/// Makes a team, installs the bot in it, and opens everybody's DM.
fn settle(simulator: &Simulator, web: &Service, number: usize) -> Result<Vec<Place>> {
    let (team, ending) = (format!("T0TOWN{number}"), format!("TOWN{number}"));
    simulator.add_team(&team, &format!("Town {number}"));
    let mut browser = Browser::default();
    let consent = browser.get(&format!("{}/slack/install", web.url()))?;
    let back = simulator.allow(&format!("{}&team={team}", consent.url))?;
    let end = browser.get(&back)?;
    if end.answer.status != 200 {
        bail!("the installation ended with {} at {}", end.answer.status, end.url);
    }
    let place = |person: &&str| {
        let user = format!("U0{person}{ending}");
        let channel = simulator.dm(&team, &user).with_context(|| format!("no DM of {user}"))?;
        Ok(Place { team: team.clone(), user, channel })
    };
    PEOPLE.iter().map(place).collect()
}
