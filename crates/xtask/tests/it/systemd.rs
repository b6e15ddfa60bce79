//! The units of `deploy/systemd`: what systemd says of them, and their commands, run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use xtask::cluster::free_port;
use xtask::service::{self, Service, Start, Variables};
use xtask::settings::{Ports, Secrets, Settings};
use xtask::systemd::{self, Root};

use crate::ground::{Database, binaries};
use crate::test_app::PATIENCE;

const UNITS: [&str; 4] = [
    "enablebot.target",
    "enablebot-api@8001.service",
    "enablebot-web@8000.service",
    "enablebot-migrate.service",
];

#[test]
fn systemd_understands_every_line_and_confines_each_service() {
    let root = Root::lay_out(|_, text| text).expect("the units");
    assert_eq!(root.verify(&UNITS).expect("it is looked at"), "");
    assert_eq!(root.exposure(&UNITS[1..]).expect("it is looked at"), "");
}

#[test]
fn a_wrong_line_and_an_open_service_are_noticed() {
    let change = |from: &'static str, to: &'static str| move |_: &str, text: String| text.replace(from, to);
    for (from, to, word) in [
        ("ProtectSystem=", "ProtectSytem=", "ProtectSytem"),
        ("Restart=", "Restart=some", "restart specifier"),
        ("/opt/enablebot/", "/opt/enablebots/", "is not executable"),
    ] {
        let told =
            Root::lay_out(change(from, to)).and_then(|root| root.verify(&UNITS)).expect("it is looked at");
        assert!(told.contains(word), "{from}: {told}");
    }
    for option in
        ["NoNewPrivileges=yes\nCapabilityBoundingSet=", "RestrictNamespaces=yes", "SystemCallFilter="]
    {
        let root = Root::lay_out(change(option, "# ")).expect("the units");
        for unit in &UNITS[1..] {
            assert!(
                root.exposure(&[unit]).expect("it is looked at").contains("✗"),
                "{unit} without {option}"
            );
        }
    }
}

/// The lines of a unit's `[Service]`; of a name that comes more than once all of them.
fn lines_of(unit: &str) -> BTreeMap<String, Vec<String>> {
    let units = systemd::units_of_the_checkout().expect("the units");
    let (_, text) = units.into_iter().find(|(name, _)| name == unit).expect("the unit");
    let lines = text
        .lines()
        .skip_while(|line| *line != "[Service]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')) {
        all.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    all
}

/// The built program that stands for the one of `ExecStart`, and its arguments.
fn command(unit: &str) -> (&'static Path, Vec<String>) {
    let line = lines_of(unit)["ExecStart"][0].clone();
    let mut words = line.split(' ');
    let name = words.next().and_then(|path| path.strip_prefix("/opt/enablebot/")).expect("a program there");
    (binaries().path(name).expect("it is built"), words.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn units_commands_migrate_serve_at_their_port_and_end_in_time() {
    let database = Database::create();
    let ports = Ports::free().expect("free ports");
    let settings = Settings::simulated(ports, database.url.clone(), Secrets::random().expect("random bytes"));
    let (program, arguments) = command("enablebot-migrate.service");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    service::run(program, &arguments, &settings.web()).expect("it migrates");
    for (name, mut variables) in [("api", settings.api()), ("web", settings.web())] {
        let unit = format!("enablebot-{name}@.service");
        let own = format!("{}_PORT", name.to_uppercase());
        variables.remove(&own).expect("the example's port");
        let port = free_port().expect("a port");
        let lines = lines_of(&unit);
        let set = lines["Environment"].iter().filter_map(|line| line.split_once('='));
        variables.extend(set.map(|(name, value)| (name.to_owned(), value.replace("%i", &port.to_string()))));
        let mut service = started(name, command(&unit), variables, port);
        let begun = std::time::Instant::now();
        assert!(service.stop().expect("it ends").success());
        let patience: u64 = lines["TimeoutStopSec"][0].parse().expect("seconds");
        assert!(patience > 30 && begun.elapsed().as_secs() < patience);
    }
}

fn started(name: &str, command: (&Path, Vec<String>), variables: Variables, port: u16) -> Service {
    let (program, arguments) = command;
    let show = Arc::new(|_: &str| ());
    let mut service =
        Service::start(Start { name, program, arguments, variables, port, show }).expect("it starts");
    service.wait_ready("/health/ready", PATIENCE).expect("it gets ready");
    service
}
