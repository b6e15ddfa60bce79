//! `cargo dev`: everything on one machine, in one terminal.

mod plan;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;
use crate::cluster::{self, Cluster};
use crate::interrupt::Interrupt;
use crate::progress::StepCounter;
use crate::service::{self, LogSink, Service, ServiceSpec, Variables};
use crate::settings::{Ports, Secrets};
use crate::{browser, log_line, seed, workspace};

use plan::{DevPlan, EnvFiles};

const READY_PATH: &str = "/health/ready";
const DEV_START_TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `cargo dev`.
#[derive(Debug, Default, clap::Args)]
pub struct DevOptions {
    /// Show every log line; without it only warnings and errors are shown.
    #[arg(long, short)]
    verbose: bool,
    /// Show the log lines as JSON.
    #[arg(long)]
    json: bool,
    /// Build with optimizations.
    #[arg(long)]
    release: bool,
    /// Fill the private database with three months of two workspaces, once.
    #[arg(long)]
    demo: bool,
}

/// Starts everything, prints the addresses, and stops it on Ctrl-C.
pub fn run(options: &DevOptions) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let own = EnvFiles::read(workspace::root())?;
    if options.demo && (own.has_database() || own.has_slack()) {
        bail!(
            "--demo needs the private database and the simulated Slack, but .env.api or .env.web name others"
        );
    }
    fs::create_dir_all(dev_folder())?;
    let ports = own.ports()?;
    plan::require_free_ports(ports, !(own.has_slack() && own.has_model()))?;
    let has_own_cluster = !own.has_database();
    let mut steps = StepCounter::new(3 + usize::from(has_own_cluster) + 2 * usize::from(options.demo));
    let binaries = steps
        .run_verbose("building api, web and the simulator (the first time takes some minutes)", || {
            Binaries::build(options.release)
        })?;
    interrupt.fail_if_requested()?;
    let cluster = if has_own_cluster { Some(steps.run("starting Postgres", start_cluster)?) } else { None };
    let secrets = Secrets::load_or_create(&dev_folder().join("secrets.env"))?;
    let plan = own.into_plan(ports, cluster.as_ref().map(|cluster| cluster.url(DEV_DATABASE)), secrets);
    interrupt.fail_if_requested()?;
    steps.run("applying the migrations", || {
        let web = binaries.path("web")?;
        // A developer's own database is migrated with its address, whose role may be the only one.
        match has_own_cluster {
            true => plan.settings.migrate(web),
            false => service::run_command(web, &["migrate"], &plan.web),
        }
    })?;
    if options.demo {
        steps.run_verbose("building the demo data and filling the database", || {
            seed::seed(&plan.settings.owner().web_variables())
        })?;
        interrupt.fail_if_requested()?;
    }
    let mut services = steps.run("starting the programs", || start_services(&binaries, &plan, options))?;
    if options.demo {
        // Slack knows the bot's token only then, and says who is an admin.
        let web = plan.settings.ports.web;
        steps.run("adding the bot to the demo workspaces", || {
            seed::DEMO_TEAMS.iter().try_for_each(|team| browser::install_bot(web, Some(team)))
        })?;
    }
    print_addresses(&plan, options);
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

/// Starts the programs and waits until each is ready. The simulator is first: the services may call it early.
fn start_services(binaries: &Binaries, plan: &DevPlan, options: &DevOptions) -> Result<Vec<Service>> {
    let Ports { web, api, simulator } = plan.settings.ports;
    let mut services = Vec::new();
    let mut start = |name, port, arguments, variables: &Variables| {
        let (program, variables) = (binaries.path(name)?, variables.clone());
        let log_sink = log_printer(name, options)?;
        services.push(Service::start(ServiceSpec { name, program, arguments, variables, port, log_sink })?);
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
    for service in &mut services {
        let path = if service.name == "simulator" { "/" } else { READY_PATH };
        service.wait_until_ready(path, DEV_START_TIMEOUT)?;
    }
    Ok(services)
}

/// Writes every line to `target/dev/NAME.log`. Prints those that report a problem, or all with `--verbose`.
fn log_printer(name: &'static str, options: &DevOptions) -> Result<LogSink> {
    let path = dev_folder().join(format!("{name}.log"));
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let (verbose, json) = (options.verbose, options.json);
    Ok(Arc::new(move |line| {
        // A full disk must not stop the service.
        let _ = writeln!(&file, "{line}");
        if !verbose && !log_line::is_problem(name, line) {
            return;
        }
        if json {
            println!("{line}");
        } else {
            println!("{}", log_line::render(name, line));
        }
    }))
}

/// Prints the addresses last, so that they stay in sight.
fn print_addresses(plan: &DevPlan, options: &DevOptions) {
    let Ports { web, api, simulator } = plan.settings.ports;
    let model = if plan.settings.is_model_simulated {
        "The model is offline: it answers by fixed rules. Set OPENAI_API_KEY in .env.api for a real one."
    } else {
        "The model is a real one."
    };
    println!("\n{model}");
    if plan.settings.is_slack_simulated {
        println!("The simulated Slack forgets everything when it stops: after a restart, add the bot again.");
    }
    println!(
        "The logs are in {}; warnings and errors are also shown below (--verbose: every line).",
        dev_folder().display()
    );
    println!("Ctrl-C stops everything.\n");
    let (first, what) = if options.demo {
        (
            format!("http://127.0.0.1:{web}/dashboard"),
            "sign in as Ada, of Acme or of Beta, to see the demo data",
        )
    } else if plan.settings.is_slack_simulated {
        (format!("http://127.0.0.1:{simulator}"), "the simulated Slack: add the bot there, then write to it")
    } else {
        (format!("http://127.0.0.1:{web}"), "install the bot in your workspace")
    };
    println!("  web              http://127.0.0.1:{web}\n  api              http://127.0.0.1:{api}");
    if plan.needs_simulator() {
        println!("  Slack simulator  http://127.0.0.1:{simulator}");
    }
    println!("\n  Start here:      {first}  ({what})\n");
}

/// Waits until the person asks to stop. Fails if a service ends by itself.
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

/// Stops all services. They are all asked first, so that they drain at the same time.
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
