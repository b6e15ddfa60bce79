//! The units of `deploy/systemd`: valid for systemd, with commands that run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use xtask::cluster::free_port;
use xtask::service::{self, Service, ServiceSpec, Variables};
use xtask::settings::{Ports, Secrets, StackSettings};
use xtask::systemd::{self, SystemdRoot};

use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::TEST_TIMEOUT;

const SYSTEMD_UNITS: [&str; 4] = [
    "enablebot.target",
    "enablebot-api@8001.service",
    "enablebot-web@8000.service",
    "enablebot-migrate.service",
];

#[test]
fn systemd_units_are_valid_and_sandboxed() {
    let root = SystemdRoot::create(|_, text| text).expect("the units");
    assert_eq!(root.verify(&SYSTEMD_UNITS).expect("it is looked at"), "");
    assert_eq!(root.check_exposure(&SYSTEMD_UNITS[1..]).expect("it is looked at"), "");
}

#[test]
fn faulty_unit_is_detected() {
    let change = |from: &'static str, to: &'static str| move |_: &str, text: String| text.replace(from, to);
    for (from, to, word) in [
        ("ProtectSystem=", "ProtectSytem=", "ProtectSytem"),
        ("Restart=", "Restart=some", "restart specifier"),
        ("/opt/enablebot/", "/opt/enablebots/", "is not executable"),
    ] {
        let told = SystemdRoot::create(change(from, to))
            .and_then(|root| root.verify(&SYSTEMD_UNITS))
            .expect("it is looked at");
        assert!(told.contains(word), "{from}: {told}");
    }
    for option in
        ["NoNewPrivileges=yes\nCapabilityBoundingSet=", "RestrictNamespaces=yes", "SystemCallFilter="]
    {
        let root = SystemdRoot::create(change(option, "# ")).expect("the units");
        for unit in &SYSTEMD_UNITS[1..] {
            assert!(
                root.check_exposure(&[unit]).expect("it is looked at").contains("✗"),
                "{unit} without {option}"
            );
        }
    }
}

/// Returns the lines of a unit's `[Service]` section. A repeated name has all its values.
fn service_section(unit: &str) -> BTreeMap<String, Vec<String>> {
    let units = systemd::list_units().expect("the units");
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

/// Returns the built program for the one of `ExecStart`, and its arguments.
fn exec_start_command(unit: &str) -> (&'static Path, Vec<String>) {
    let line = service_section(unit)["ExecStart"][0].clone();
    let mut words = line.split(' ');
    let name = words.next().and_then(|path| path.strip_prefix("/opt/enablebot/")).expect("a program there");
    (binaries().path(name).expect("it is built"), words.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_commands_migrate_serve_and_stop() {
    let database = TestDatabase::create();
    let ports = Ports::free().expect("free ports");
    let settings =
        StackSettings::simulated(ports, database.url.clone(), Secrets::generate().expect("random bytes"));
    let (program, arguments) = exec_start_command("enablebot-migrate.service");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    service::run_command(program, &arguments, &settings.owner().web_variables()).expect("it migrates");
    for (name, mut variables) in [("api", settings.api_variables()), ("web", settings.web_variables())] {
        let unit = format!("enablebot-{name}@.service");
        let own = format!("{}_PORT", name.to_uppercase());
        variables.remove(&own).expect("the example's port");
        let port = free_port().expect("a port");
        let lines = service_section(&unit);
        let set = lines["Environment"].iter().filter_map(|line| line.split_once('='));
        variables.extend(set.map(|(name, value)| (name.to_owned(), value.replace("%i", &port.to_string()))));
        let mut service = start_ready(name, exec_start_command(&unit), variables, port);
        let begun = std::time::Instant::now();
        assert!(service.stop().expect("it ends").success());
        let patience: u64 = lines["TimeoutStopSec"][0].parse().expect("seconds");
        assert!(patience > 30 && begun.elapsed().as_secs() < patience);
    }
}

fn start_ready(name: &str, command: (&Path, Vec<String>), variables: Variables, port: u16) -> Service {
    let (program, arguments) = command;
    let show = Arc::new(|_: &str| ());
    let mut service =
        Service::start(ServiceSpec { name, program, arguments, variables, port, log_sink: show })
            .expect("it starts");
    service.wait_until_ready("/health/ready", TEST_TIMEOUT).expect("it gets ready");
    service
}
