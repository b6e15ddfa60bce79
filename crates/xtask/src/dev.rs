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
use crate::service::{self, LogSink, Service, ServiceSpec, Variables};
use crate::settings::{Ports, Secrets};
use crate::{log_line, seed, workspace};

use plan::{DevPlan, EnvFiles};

const READY_PATH: &str = "/health/ready";
const DEV_START_TIMEOUT: Duration = Duration::from_secs(60);

/// What `cargo dev` can be told.
#[derive(Debug, Default, clap::Args)]
pub struct DevOptions {
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
pub fn run(options: &DevOptions) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let own = EnvFiles::read(workspace::root())?;
    if options.demo && (own.has_database() || own.has_slack()) {
        bail!(
            "--demo is for the private database and the simulated Slack, and .env.api or .env.web name others"
        );
    }
    let ports = own.ports()?;
    plan::require_free_ports(ports, !(own.has_slack() && own.has_model()))?;
    let binaries = Binaries::build(options.release)?;
    interrupt.fail_if_requested()?;
    let cluster = if own.has_database() { None } else { Some(step("starting Postgres", start_cluster)?) };
    let secrets = Secrets::load_or_create(&dev_folder().join("secrets.env"))?;
    let plan = own.into_plan(ports, cluster.as_ref().map(|cluster| cluster.url(DEV_DATABASE)), secrets);
    interrupt.fail_if_requested()?;
    step("applying the migrations", || service::run_command(binaries.path("web")?, &["migrate"], &plan.web))?;
    if options.demo {
        println!("Filling the database with three months of two workspaces:");
        seed::seed(&plan.web)?;
        interrupt.fail_if_requested()?;
    }
    let mut services = start_services(&binaries, &plan, options)?;
    print_addresses_when_ready(&plan, &mut services)?;
    if options.demo {
        let web = plan.settings.ports.web;
        println!(
            "Sign in at http://127.0.0.1:{web}/dashboard as Ada, of Acme or of Beta, to see the demo data.\n"
        );
    }
    let end = wait_for_exit(&mut services, &interrupt);
    println!("Stopping.");
    stop_all(services);
    drop(cluster);
    end
}

const DEV_DATABASE: &str = "enablebot";

fn dev_folder() -> PathBuf {
    workspace::target().join("dev")
}

fn start_cluster() -> Result<Cluster> {
    let cluster = Cluster::start(
        &dev_folder().join("postgres"),
        cluster::ClusterOptions { fsync: true, is_ephemeral: false },
    )?;
    if !cluster.has_database(DEV_DATABASE)? {
        cluster.create_database(DEV_DATABASE)?;
    }
    Ok(cluster)
}

/// The simulator comes first, since the services may call it as they start.
fn start_services(binaries: &Binaries, plan: &DevPlan, options: &DevOptions) -> Result<Vec<Service>> {
    let Ports { web, api, simulator } = plan.settings.ports;
    let mut services = Vec::new();
    let mut start = |name, port, arguments, variables: &Variables| {
        let (program, variables) = (binaries.path(name)?, variables.clone());
        let show = log_printer(name, options.json);
        services.push(Service::start(ServiceSpec {
            name,
            program,
            arguments,
            variables,
            port,
            log_sink: show,
        })?);
        Ok::<_, anyhow::Error>(())
    };
    if plan.needs_simulator() {
        let mut arguments = plan.settings.simulator_arguments();
        if options.demo {
            arguments.extend(["--team".to_owned(), seed::SECOND_TEAM.to_owned()]);
        }
        start("simulator", simulator, arguments, &plan.settings.simulator_variables())?;
    }
    start("api", api, Vec::new(), &plan.api)?;
    start("web", web, Vec::new(), &plan.web)?;
    Ok(services)
}

fn log_printer(name: &'static str, json: bool) -> LogSink {
    if json {
        return Arc::new(|line| println!("{line}"));
    }
    Arc::new(move |line| println!("{}", log_line::render(name, line)))
}

/// Waits until all are ready, then says what to open.
fn print_addresses_when_ready(plan: &DevPlan, services: &mut [Service]) -> Result<()> {
    for service in services {
        let path = if service.name == "simulator" { "/" } else { READY_PATH };
        service.wait_until_ready(path, DEV_START_TIMEOUT)?;
    }
    let Ports { web, api, simulator } = plan.settings.ports;
    println!("\n  web              http://127.0.0.1:{web}\n  api              http://127.0.0.1:{api}");
    if plan.needs_simulator() {
        println!("  Slack simulator  http://127.0.0.1:{simulator}");
    }
    if plan.settings.is_slack_simulated {
        println!("\nOpen http://127.0.0.1:{simulator} first: add the bot there, then write to it.");
        println!("The simulated Slack forgets everything when it stops; after a restart, add the bot again.");
    } else {
        println!("\nOpen http://127.0.0.1:{web} first: it installs the bot in your workspace.");
    }
    let model =
        if plan.settings.is_model_simulated { "offline; set OPENAI_API_KEY in .env.api" } else { "real" };
    println!("The model is {model}. Ctrl-C stops everything.\n");
    Ok(())
}

/// Until somebody asks to stop, or a service ends by itself.
fn wait_for_exit(services: &mut [Service], interrupt: &Interrupt) -> Result<()> {
    while !interrupt.is_requested() {
        for service in services.iter_mut() {
            if let Some(status) = service.exit_status()? {
                let lines = service.last_log_lines(20);
                let lines: Vec<_> = lines.lines().map(|line| log_line::render(&service.name, line)).collect();
                bail!("{} ended ({status}). Its last lines:\n{}", service.name, lines.join("\n"));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// All are asked at once, so that they drain side by side.
fn stop_all(mut services: Vec<Service>) {
    let (simulator, own): (Vec<_>, Vec<_>) =
        services.iter_mut().partition(|service| service.name == "simulator");
    own.iter().for_each(|service| service.terminate());
    for service in own.into_iter().chain(simulator) {
        if let Err(error) = service.stop() {
            eprintln!("{} could not be stopped: {error}", service.name);
        }
    }
}
