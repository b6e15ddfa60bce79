//! `cargo xtask chaos`: people ask, while everything is killed, stopped, cut off or made to fail at random; in the end
//! every message must have exactly one reply, in order.

mod base;
mod faults;
mod fleet;
mod people;
mod proxy;
mod takeovers;
mod verdict;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simulator::Simulator;

use self::base::{Base, Way};
use self::faults::{Ground, SOUND_MODEL};
use self::fleet::Replica;
use self::people::People;
use self::takeovers::Takeovers;
pub use self::verdict::Verdict;
use crate::binaries::Binaries;
use crate::cluster::{self, Options as ClusterOptions};
use crate::progress::step;
use crate::settings::{Ports, SIGNING_SECRET};
use crate::stack::Stack;
use crate::workspace;

/// Slack's 0, 1 and 5 minutes, thirty times as fast.
const RETRY_DELAYS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(10)];

/// As Slack has it.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two looks at who fell, and at the leases.
const TICK: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(400);

/// How long the queue may take to empty once nothing is broken any more: an event has eight tries in two minutes.
const PATIENCE: Duration = Duration::from_secs(240);

/// A silent model is given up soon; and now and then a message waits for its turn.
const OF_API: [(&str, &str); 3] =
    [("TIMEOUT", "4"), ("RATE_LIMIT_PER_TENANT", "2/second"), ("RATE_LIMIT_GLOBAL", "8/second")];

const APIS: usize = 3;
const WEBS: usize = 2;

/// What `cargo xtask chaos` can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How long things go wrong.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Which chances are drawn; by default others each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Half a minute only.
    #[arg(long)]
    short: bool,
}

/// Runs it, prints the table, and fails if anything was lost, doubled or out of order, or taken over too late.
pub fn run(options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    println!("seed {seed}");
    let length = if options.short { SHORT } else { Duration::from_secs(options.minutes * 60) };
    if !wreak(seed, length)?.is_good() {
        bail!("with the seed {seed} it does not hold");
    }
    Ok(())
}

/// How long the short form lasts, before it waits for the rest to be answered.
pub const SHORT: Duration = Duration::from_secs(30);

/// One run.
pub fn wreak(seed: u64, length: Duration) -> Result<Verdict> {
    let binaries = Binaries::build_with_fail_points()?;
    let folder = workspace::target().join("chaos");
    fs::create_dir_all(&folder)?;
    let ports = Ports::free()?;
    // A commit that was acknowledged must be there after a kill.
    let options = ClusterOptions { fsync: true, fresh: true };
    let data = folder.join("postgres");
    let stack = step("starting Postgres", || Stack::start(&binaries, &data, options, ports))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let apis: Vec<u16> = (0..APIS).map(|_| cluster::free_port()).collect::<Result<_>>()?;
    let simulator = runtime.block_on(Simulator::start(simulator::Settings {
        port: ports.simulator,
        install_url: format!("http://127.0.0.1:{}/slack/install", ports.web),
        signing_secret: SIGNING_SECRET.into(),
        retry_delays: RETRY_DELAYS,
        ack_timeout: ACK_TIMEOUT,
        rate_limits: false,
        ..simulator::Settings::default()
    }))?;
    simulator
        .set_events_urls(apis.iter().map(|port| format!("http://127.0.0.1:{port}/slack/events")).collect());
    simulator.set_model_behaviour(SOUND_MODEL);
    let base =
        step("starting pgBouncer and Redis", || Base::start(&runtime, &stack.cluster, stack.database()))?;
    let mut chaos = Chaos::begin(stack, simulator, base, apis, &folder)?;
    chaos.rage(seed, length)?;
    chaos.settle()?;
    let Chaos { stack, simulator, people, takeovers, .. } = &chaos;
    let verdict = Verdict::reach(stack, simulator, &people.asked, takeovers.times.clone())?;
    verdict.print();
    eprintln!("what each replica logged is in {}", folder.display());
    Ok(verdict)
}

struct Chaos {
    apis: Vec<Replica>,
    webs: Vec<Replica>,
    simulator: Simulator,
    base: Base,
    takeovers: Takeovers,
    looked_at: Instant,
    people: People,
    stack: Stack,
}

impl Chaos {
    fn begin(stack: Stack, simulator: Simulator, base: Base, ports: Vec<u16>, folder: &Path) -> Result<Self> {
        let replica = |name, at, port| Replica::new(name, port, &folder.join(format!("{name}{at}.log")));
        let mut webs = vec![replica("web", 0, stack.settings.ports.web)?];
        for at in 1..WEBS {
            webs.push(replica("web", at, cluster::free_port()?)?);
        }
        while !webs[0].is_up() {
            webs[0].tend(&stack, &[])?;
            std::thread::sleep(TICK);
        }
        let people = People::install(&simulator, &stack.settings)?;
        let apis = ports.into_iter().enumerate().map(|(at, port)| replica("api", at, port));
        let apis = apis.collect::<Result<_>>()?;
        let (takeovers, looked_at) = (Takeovers::default(), Instant::now());
        let mut chaos = Self { apis, webs, simulator, base, takeovers, looked_at, people, stack };
        chaos.tend()?;
        Ok(chaos)
    }

    /// People ask and things break, for so long.
    fn rage(&mut self, seed: u64, length: Duration) -> Result<()> {
        let mut chance = StdRng::seed_from_u64(seed);
        let (begun, mut ask_at, mut break_at) = (Instant::now(), Instant::now(), Instant::now());
        while begun.elapsed() < length {
            if Instant::now() >= ask_at {
                self.people.ask(&mut chance)?;
                ask_at = Instant::now() + Duration::from_millis(chance.random_range(20..400));
            }
            if Instant::now() >= break_at {
                let Self { apis, webs, simulator, base, takeovers, stack, .. } = self;
                let cluster = &mut stack.cluster;
                let mut ground = Ground { apis, webs, simulator, base, cluster, takeovers };
                let broken = ground.break_something(&mut chance)?;
                eprintln!("{:7.1} s  {broken}", begun.elapsed().as_secs_f64());
                break_at = Instant::now() + Duration::from_millis(chance.random_range(300..2_500));
            }
            self.tend()?;
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn tend(&mut self) -> Result<()> {
        self.base.tend(&mut self.stack.cluster)?;
        let ways = [Way::Pooled, Way::Straight].map(|way| self.base.variables(&self.stack.cluster, way));
        let own = |at: usize| -> Vec<(&str, &str)> {
            let way = ways[at % ways.len()].iter().map(|(name, value)| (*name, &**value));
            // Five replicas share one Postgres.
            way.chain([("DATABASE_POOL_SIZE", "5")]).collect()
        };
        for (at, web) in self.webs.iter_mut().enumerate() {
            web.tend(&self.stack, &own(at))?;
        }
        for (at, api) in self.apis.iter_mut().enumerate() {
            if api.tend(&self.stack, &[own(at).as_slice(), &OF_API].concat())? {
                self.takeovers.note_death();
            }
        }
        self.takeovers.note_postgres(self.base.is_reachable());
        if self.looked_at.elapsed() > LOOK && self.base.has_postgres() {
            self.takeovers.look(&self.stack)?;
            self.looked_at = Instant::now();
        }
        Ok(())
    }

    /// Nothing breaks any more; waits until all is delivered and the queue is empty.
    fn settle(&mut self) -> Result<()> {
        eprintln!("nothing breaks any more");
        self.simulator.set_model_behaviour(SOUND_MODEL);
        self.base.mend(&mut self.stack.cluster)?;
        self.apis.iter_mut().chain(&mut self.webs).for_each(Replica::mend);
        let begun = Instant::now();
        while !(self.is_delivered() && self.stack.waiting()? == 0 && begun.elapsed() > ACK_TIMEOUT) {
            if begun.elapsed() > PATIENCE {
                bail!("after {PATIENCE:?} without faults {} events still wait", self.stack.waiting()?);
            }
            self.tend()?;
            std::thread::sleep(TICK);
        }
        eprintln!("the queue is empty after {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Whether Slack will try nothing again.
    fn is_delivered(&self) -> bool {
        let mut last = HashMap::new();
        for delivery in self.simulator.deliveries() {
            last.insert(delivery.event_id, delivery.retry_num == 3 || delivery.status == Some(200));
        }
        last.into_values().all(|is_over| is_over) && self.apis.iter().all(Replica::is_up)
    }
}
