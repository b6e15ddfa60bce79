//! The files of `deploy/prometheus` and `deploy/grafana`: valid for Prometheus' own tool, and complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use xtask::{prometheus, workspace};

pub(crate) const GRAFANA_DASHBOARDS: [&str; 2] = ["api", "web"];

/// The first panels of both dashboards.
const COMMON_PANELS: [&str; 6] = ["Requests", "Response time", "Errors", "Connections", "Memory", "CPU"];

fn deploy_path(path: &str) -> PathBuf {
    workspace::root().join("deploy").join(path)
}

fn run_promtool(arguments: &[&str]) -> String {
    let mut promtool = Command::new(prometheus::promtool().expect("promtool"));
    workspace::output(promtool.args(arguments).current_dir(deploy_path("prometheus")))
        .expect("promtool is content")
}

/// Returns the text of all files of a folder.
fn read_folder(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(deploy_path(folder)).expect("a folder");
    entries.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("text")).collect()
}

pub(crate) fn read_dashboard(name: &str) -> Value {
    let text =
        fs::read_to_string(deploy_path("grafana/dashboards").join(format!("{name}.json"))).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// Returns a dashboard's panels without the rows between them.
pub(crate) fn dashboard_panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// Returns the metrics that the README lists.
pub(crate) fn documented_metrics() -> BTreeSet<String> {
    let readme = fs::read_to_string(deploy_path("prometheus/README.md")).expect("text");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let name = Regex::new("enablebot_[a-z_]+").expect("a pattern");
    rows.flat_map(|(names, _)| name.find_iter(names).map(|name| name.as_str().to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn promtool_accepts_rules_and_tests() {
    let told = run_promtool(&["check", "config", "prometheus.yml"]);
    assert!(told.contains("3 rule files found"), "{told}");
    run_promtool(&["test", "rules", "tests/capacity.yml", "tests/operation.yml", "tests/slo.yml"]);
}

#[test]
fn every_alert_is_tested_and_has_runbook() {
    let (rules, tests) = (read_folder("prometheus/rules"), read_folder("prometheus/tests").concat());
    let mut names = Vec::new();
    for rule in rules.iter().flat_map(|rules| rules.split("\n      - ")) {
        let Some(name) = rule.strip_prefix("alert: ").and_then(|rule| rule.lines().next()) else { continue };
        for part in ["labels: {severity: ", "summary: ", "description: ", "runbook: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let tried: Vec<&str> =
            tests.lines().filter(|line| line.contains(&format!("alertname=\"{name}\""))).collect();
        assert!(tried.iter().any(|line| line.contains("exp_samples: []")), "{name} is never seen silent");
        assert!(tried.iter().any(|line| line.contains("exp_samples: [{")), "{name} is never seen firing");
        names.push(name);
    }
    assert!(names.len() >= 20, "{names:?}");
}

#[test]
fn dashboards_match_grafana_provisioning() {
    let source = read_folder("grafana/provisioning/datasources").concat();
    assert!(source.contains("uid: prometheus\n") && source.contains("url: http://prometheus:9090\n"));
    let mut uids = BTreeSet::new();
    for name in GRAFANA_DASHBOARDS {
        let dashboard = read_dashboard(name);
        assert!(uids.insert(dashboard["uid"].as_str().expect("a uid").to_owned()));
        let panels = dashboard_panels(&dashboard);
        let titles: Vec<&str> = panels.iter().filter_map(|panel| panel["title"].as_str()).collect();
        assert!(titles.starts_with(&COMMON_PANELS), "{titles:?}");
        let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "each has an id of its own");
        for panel in panels {
            let title = &panel["title"];
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
            let targets = panel["targets"].as_array().expect("queries");
            assert!(!targets.is_empty(), "{title}");
            let sources = targets.iter().chain([panel]).map(|part| &part["datasource"]["uid"]);
            assert!(sources.into_iter().all(|uid| uid == "prometheus"), "{title}");
        }
        let variable = &dashboard["templating"]["list"][0];
        assert_eq!((&variable["name"], &variable["allValue"]), (&"instance".into(), &".+".into()));
    }
}
