//! `cargo dev`: everything on one machine, in one terminal.

mod plan;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::binaries::Binaries;
use crate::cluster::{self, Cluster};
use crate::interrupt::Interrupt;
use crate::progress::step;
use crate::service::{self, Service, Show, Start, Variables};
use crate::settings::{Ports, Secrets};
use crate::{demo, log_line, workspace};

use plan::{Own, Plan};

const READY: &str = "/health/ready";
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What `cargo dev` can be told.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Show the services' log lines as they are.
    #[arg(long)]
    json: bool,
    /// Build with optimizations.
    #[arg(long)]
    release: bool,
    /// Fill the private database with three months of two workspaces, once.
    #[arg(long)]
    demo: bool,
}

/// Starts everything, says where it is, and stops it on Ctrl-C.
pub fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let own = Own::read(workspace::root())?;
    if options.demo && (own.has_database() || own.has_slack()) {
        bail!(
            "--demo is for the private database and the simulated Slack, and .env.api or .env.web name others"
        );
    }
    let ports = own.ports()?;
    plan::require_free(ports, !(own.has_slack() && own.has_model()))?;
    let binaries = Binaries::build(options.release)?;
    interrupt.check()?;
    let cluster = if own.has_database() { None } else { Some(step("starting Postgres", start_cluster)?) };
    let secrets = Secrets::kept_in(&folder().join("secrets.env"))?;
    let plan = own.complete(ports, cluster.as_ref().map(|cluster| cluster.url(DATABASE)), secrets);
    interrupt.check()?;
    step("applying the migrations", || service::run(binaries.path("web")?, &["migrate"], &plan.web))?;
    if options.demo {
        println!("Filling the database with three months of two workspaces:");
        demo::fill(&plan.web)?;
        interrupt.check()?;
    }
    let mut services = start_services(&binaries, &plan, options)?;
    introduce(&plan, &mut services)?;
    if options.demo {
        let web = plan.settings.ports.web;
        println!(
            "Sign in at http://127.0.0.1:{web}/dashboard as Ada, of Acme or of Beta, to see the demo data.\n"
        );
    }
    let end = watch(&mut services, &interrupt);
    println!("Stopping.");
    stop(services);
    drop(cluster);
    end
}

const DATABASE: &str = "enablebot";

fn folder() -> PathBuf {
    workspace::target().join("dev")
}

fn start_cluster() -> Result<Cluster> {
    let cluster = Cluster::start(&folder().join("postgres"), cluster::Options { fsync: true, fresh: false })?;
    if !cluster.has_database(DATABASE)? {
        cluster.create_database(DATABASE)?;
    }
    Ok(cluster)
}

/// The simulator comes first, since the services may call it as they start.
fn start_services(binaries: &Binaries, plan: &Plan, options: &Options) -> Result<Vec<Service>> {
    let Ports { web, api, simulator } = plan.settings.ports;
    let mut services = Vec::new();
    let mut start = |name, port, arguments, variables: &Variables| {
        let (program, variables) = (binaries.path(name)?, variables.clone());
        let show = shown(name, options.json);
        services.push(Service::start(Start { name, program, arguments, variables, port, show })?);
        Ok::<_, anyhow::Error>(())
    };
    if plan.needs_simulator() {
        let mut arguments = plan.settings.simulator_arguments();
        if options.demo {
            arguments.extend(["--team".to_owned(), demo::SECOND_TEAM.to_owned()]);
        }
        start("simulator", simulator, arguments, &plan.settings.simulator())?;
    }
    start("api", api, Vec::new(), &plan.api)?;
    start("web", web, Vec::new(), &plan.web)?;
    Ok(services)
}

fn shown(name: &'static str, json: bool) -> Show {
    if json {
        return Arc::new(|line| println!("{line}"));
    }
    Arc::new(move |line| println!("{}", log_line::render(name, line)))
}

/// Waits until all are ready, then says what to open.
fn introduce(plan: &Plan, services: &mut [Service]) -> Result<()> {
    for service in services {
        let path = if service.name == "simulator" { "/" } else { READY };
        service.wait_ready(path, START_PATIENCE)?;
    }
    let Ports { web, api, simulator } = plan.settings.ports;
    println!("\n  web              http://127.0.0.1:{web}\n  api              http://127.0.0.1:{api}");
    if plan.needs_simulator() {
        println!("  Slack simulator  http://127.0.0.1:{simulator}");
    }
    if plan.settings.slack_is_simulated {
        println!("\nOpen http://127.0.0.1:{simulator} first: add the bot there, then write to it.");
        println!("The simulated Slack forgets everything when it stops; after a restart, add the bot again.");
    } else {
        println!("\nOpen http://127.0.0.1:{web} first: it installs the bot in your workspace.");
    }
    let model =
        if plan.settings.model_is_simulated { "offline; set OPENAI_API_KEY in .env.api" } else { "real" };
    println!("The model is {model}. Ctrl-C stops everything.\n");
    Ok(())
}

/// Until somebody asks to stop, or a service ends by itself.
fn watch(services: &mut [Service], interrupt: &Interrupt) -> Result<()> {
    while !interrupt.came() {
        for service in services.iter_mut() {
            if let Some(status) = service.exited()? {
                let lines = service.last_lines(20);
                let lines: Vec<_> = lines.lines().map(|line| log_line::render(&service.name, line)).collect();
                bail!("{} ended ({status}). Its last lines:\n{}", service.name, lines.join("\n"));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// All are asked at once, so that they drain side by side.
fn stop(mut services: Vec<Service>) {
    let (simulator, own): (Vec<_>, Vec<_>) =
        services.iter_mut().partition(|service| service.name == "simulator");
    own.iter().for_each(|service| service.terminate());
    for service in own.into_iter().chain(simulator) {
        if let Err(error) = service.stop() {
            eprintln!("{} could not be stopped: {error}", service.name);
        }
    }
}
