//! `cargo xtask chaos`: sends messages while processes are randomly killed, stopped, cut off or made to fail.
//! In the end every message must have exactly one reply, in order.

mod failover;
mod faults;
mod infra;
mod instances;
mod load;
mod proxy;
mod report;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simulator::Simulator;

use self::failover::TakeoverTracker;
use self::faults::{FaultContext, HEALTHY_MODEL};
use self::infra::{Infra, PostgresRoute};
use self::instances::ServiceInstance;
use self::load::LoadGenerator;
pub use self::report::ChaosReport;
use crate::binaries::Binaries;
use crate::cluster::{self, ClusterOptions};
use crate::progress::step;
use crate::settings::{Ports, SIGNING_SECRET};
use crate::stack::Stack;
use crate::workspace;

/// Slack's delays of 0, 1 and 5 minutes, thirty times as fast.
const RETRY_DELAYS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(10)];

/// The same as Slack's.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// The intervals at which processes and leases are polled.
const TICK_INTERVAL: Duration = Duration::from_millis(50);
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(400);

/// The time limit for emptying the queue after the faults end: an event has eight tries in two minutes.
const QUEUE_DRAIN_TIMEOUT: Duration = Duration::from_secs(240);

/// A silent model times out early, and some messages are rate limited.
const API_OVERRIDES: [(&str, &str); 3] =
    [("TIMEOUT", "4"), ("RATE_LIMIT_PER_TENANT", "2/second"), ("RATE_LIMIT_GLOBAL", "8/second")];

const API_INSTANCES: usize = 3;
const WEB_INSTANCES: usize = 2;

/// Options of `cargo xtask chaos`.
#[derive(Debug, clap::Args)]
pub struct ChaosOptions {
    /// Minutes during which faults occur.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Seed of the random faults; by default a new one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Run for half a minute only.
    #[arg(long)]
    short: bool,
}

/// Runs the chaos test and prints the table. Fails if a message was lost, answered twice or out of order, or
/// taken over too late.
pub fn run(options: &ChaosOptions) -> Result<()> {
    let seed = options.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    println!("seed {seed}");
    let length = if options.short { SHORT_RUN_DURATION } else { Duration::from_secs(options.minutes * 60) };
    if !run_with_seed(seed, length)?.has_passed() {
        bail!("the run with seed {seed} failed");
    }
    Ok(())
}

/// The duration of the short form, without the wait for the remaining replies.
pub const SHORT_RUN_DURATION: Duration = Duration::from_secs(30);

/// Runs the chaos test with a seed.
pub fn run_with_seed(seed: u64, length: Duration) -> Result<ChaosReport> {
    let binaries = Binaries::build_with_fail_points()?;
    let folder = workspace::target().join("chaos");
    fs::create_dir_all(&folder)?;
    let ports = Ports::free()?;
    // An acknowledged commit must survive a kill.
    let options = ClusterOptions { fsync: true, is_ephemeral: true };
    let data = folder.join("postgres");
    let stack = step("starting Postgres", || Stack::start(&binaries, &data, options, ports))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let apis: Vec<u16> = (0..API_INSTANCES).map(|_| cluster::free_port()).collect::<Result<_>>()?;
    let simulator = runtime.block_on(Simulator::start(simulator::SimulatorSettings {
        port: ports.simulator,
        install_url: format!("http://127.0.0.1:{}/slack/install", ports.web),
        signing_secret: SIGNING_SECRET.into(),
        retry_delays: RETRY_DELAYS,
        ack_timeout: ACK_TIMEOUT,
        has_rate_limits: false,
        ..simulator::SimulatorSettings::default()
    }))?;
    simulator
        .set_events_urls(apis.iter().map(|port| format!("http://127.0.0.1:{port}/slack/events")).collect());
    simulator.set_model_options(HEALTHY_MODEL);
    let base =
        step("starting pgBouncer and Redis", || Infra::start(&runtime, &stack.cluster, stack.database()))?;
    let mut chaos = ChaosRun::start(stack, simulator, base, apis, &folder)?;
    chaos.inject_faults(seed, length)?;
    chaos.drain()?;
    let ChaosRun { stack, simulator, load, takeovers, .. } = &chaos;
    let verdict = ChaosReport::build(stack, simulator, &load.sent, takeovers.takeovers.clone())?;
    verdict.print();
    eprintln!("the replicas' logs are in {}", folder.display());
    Ok(verdict)
}

struct ChaosRun {
    apis: Vec<ServiceInstance>,
    webs: Vec<ServiceInstance>,
    simulator: Simulator,
    infra: Infra,
    takeovers: TakeoverTracker,
    leases_polled_at: Instant,
    load: LoadGenerator,
    stack: Stack,
}

impl ChaosRun {
    fn start(
        stack: Stack,
        simulator: Simulator,
        infra: Infra,
        ports: Vec<u16>,
        folder: &Path,
    ) -> Result<Self> {
        let replica =
            |name, at, port| ServiceInstance::new(name, port, &folder.join(format!("{name}{at}.log")));
        let mut webs = vec![replica("web", 0, stack.settings.ports.web)?];
        for at in 1..WEB_INSTANCES {
            webs.push(replica("web", at, cluster::free_port()?)?);
        }
        while !webs[0].is_up() {
            webs[0].poll(&stack, &[])?;
            std::thread::sleep(TICK_INTERVAL);
        }
        let load = LoadGenerator::install(&simulator, &stack.settings)?;
        let apis = ports.into_iter().enumerate().map(|(at, port)| replica("api", at, port));
        let apis = apis.collect::<Result<_>>()?;
        let (takeovers, looked_at) = (TakeoverTracker::default(), Instant::now());
        let mut chaos =
            Self { apis, webs, simulator, infra, takeovers, leases_polled_at: looked_at, load, stack };
        chaos.tick()?;
        Ok(chaos)
    }

    /// Sends messages and injects faults for this long.
    fn inject_faults(&mut self, seed: u64, length: Duration) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        let (begun, mut ask_at, mut break_at) = (Instant::now(), Instant::now(), Instant::now());
        while begun.elapsed() < length {
            if Instant::now() >= ask_at {
                self.load.send_message(&mut rng)?;
                ask_at = Instant::now() + Duration::from_millis(rng.random_range(20..400));
            }
            if Instant::now() >= break_at {
                let Self { apis, webs, simulator, infra: base, takeovers, stack, .. } = self;
                let cluster = &mut stack.cluster;
                let mut ground = FaultContext { apis, webs, simulator, infra: base, cluster, takeovers };
                let broken = ground.inject_fault(&mut rng)?;
                eprintln!("{:7.1} s  {broken}", begun.elapsed().as_secs_f64());
                break_at = Instant::now() + Duration::from_millis(rng.random_range(300..2_500));
            }
            self.tick()?;
            std::thread::sleep(TICK_INTERVAL);
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.infra.restart_due(&mut self.stack.cluster)?;
        let ways = [PostgresRoute::Pooled, PostgresRoute::Direct]
            .map(|way| self.infra.variables(&self.stack.cluster, way));
        let own = |at: usize| -> Vec<(&str, &str)> {
            let way = ways[at % ways.len()].iter().map(|(name, value)| (*name, &**value));
            // Five replicas share one Postgres.
            way.chain([("DATABASE_POOL_SIZE", "5")]).collect()
        };
        for (at, web) in self.webs.iter_mut().enumerate() {
            web.poll(&self.stack, &own(at))?;
        }
        for (at, api) in self.apis.iter_mut().enumerate() {
            if api.poll(&self.stack, &[own(at).as_slice(), &API_OVERRIDES].concat())? {
                self.takeovers.record_failure();
            }
        }
        self.takeovers.record_postgres_state(self.infra.is_postgres_reachable());
        if self.leases_polled_at.elapsed() > LEASE_POLL_INTERVAL && self.infra.is_postgres_up() {
            self.takeovers.poll_leases(&self.stack)?;
            self.leases_polled_at = Instant::now();
        }
        Ok(())
    }

    /// Ends all faults, and waits until everything is delivered and the queue is empty.
    fn drain(&mut self) -> Result<()> {
        eprintln!("no more faults; waiting for the queue");
        self.simulator.set_model_options(HEALTHY_MODEL);
        self.infra.end_faults(&mut self.stack.cluster)?;
        self.apis.iter_mut().chain(&mut self.webs).for_each(ServiceInstance::end_faults);
        let begun = Instant::now();
        while !(self.is_delivered()
            && self.stack.count_pending_events()? == 0
            && begun.elapsed() > ACK_TIMEOUT)
        {
            if begun.elapsed() > QUEUE_DRAIN_TIMEOUT {
                bail!(
                    "after {QUEUE_DRAIN_TIMEOUT:?} without faults {} events still wait",
                    self.stack.count_pending_events()?
                );
            }
            self.tick()?;
            std::thread::sleep(TICK_INTERVAL);
        }
        eprintln!("the queue is empty after {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Returns whether Slack has no delivery left to retry.
    fn is_delivered(&self) -> bool {
        let mut last = HashMap::new();
        for delivery in self.simulator.deliveries() {
            last.insert(delivery.event_id, delivery.retry_num == 3 || delivery.status == Some(200));
        }
        last.into_values().all(|is_over| is_over) && self.apis.iter().all(ServiceInstance::is_up)
    }
}
