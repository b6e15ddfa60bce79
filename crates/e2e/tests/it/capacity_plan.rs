//! `web plan`: its figures can be measured, and the simulated queue needs no more replicas than the plan.

use std::process::Command;

use serde_json::Value;
use xtask::bench::{cost, simulate};

use crate::fixtures::binaries;

fn run_plan(arguments: &[&str]) -> Value {
    let mut command = Command::new(binaries().path("web").expect("web"));
    let output = command.arg("plan").args(arguments).arg("--json").env_clear().output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn planned_capacity_tolerates_lost_replica() {
    for (workspaces, slots) in [(200, 16), (2_000, 64)] {
        let options = simulate::SimulationOptions {
            slots,
            messages_per_day: 40.0,
            ..simulate::SimulationOptions::default()
        };
        let load = ["--workspaces", &workspaces.to_string(), "--messages-per-day", "40"].map(str::to_owned);
        let planned = run_plan(&load.each_ref().map(String::as_str))["plans"][0]["sizes"].clone();
        let at_once = planned["replies_at_once"].as_f64().expect("a number");
        let planned = planned["api_replicas"].as_f64().expect("a number")
            * planned["max_concurrent_replies"].as_f64().expect("a number");
        let (fleet, outcome) = simulate::size_fleet(&options, workspaces).expect("a fleet");
        let needed = f64::from(fleet.replicas * fleet.slots);
        assert!(planned >= needed - f64::from(slots), "{planned} slots are planned, and {needed} needed");
        let ratio = outcome.busiest_slots / at_once;
        assert!(
            (0.8..1.2).contains(&ratio),
            "{} slots are busy at the peak, planned were {at_once}",
            outcome.busiest_slots
        );
    }
}

#[test]
fn reply_costs_are_measurable() {
    let figures = cost::measure_cost(binaries(), 20, 4.0).expect("figures");
    let plan = run_plan(&["--workspaces", "1", "--messages-per-day", "1"]);
    let recorded = plan["measured"].as_array().expect("a list");
    for figure in &figures {
        // Tables grow by pages, so twenty replies may fit into free space.
        let may_be_none = figure.name.ends_with("kept_per_reply") || figure.name.ends_with("queue_per_reply");
        assert!(figure.value > 0.0 || may_be_none, "{figure:?}");
        assert!(
            recorded.iter().any(|row| row["name"] == figure.name),
            "{} is in the plan's file",
            figure.name
        );
    }
    assert_eq!(figures.len(), 6);
}
