//! `web plan`: estimates the resources and the cost of a deployment.
//!
//! The estimate uses measured figures (`measured.csv`), and assumptions about usage and prices, each of which
//! is an option.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

mod costs;
mod limit_checks;
mod measurements;
mod options;
mod sizing;

use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde::Serialize;

use costs::MonthlyCosts;
use limit_checks::LimitCheck;
use measurements::Measurements;
use options::PlannedLoad;
use sizing::DeploymentSizes;

pub use options::PlanOptions;

/// Sizes that are shown if no size is given: workspaces, and messages per day and workspace.
const SCENARIOS: [(&str, u64, f64); 3] =
    [("small", 50, 50.0), ("medium", 1_000, 100.0), ("large", 20_000, 100.0)];

/// The estimate for one load.
#[derive(Debug, Serialize)]
struct CapacityPlan {
    name: &'static str,
    load: PlannedLoad,
    sizes: DeploymentSizes,
    costs: MonthlyCosts,
    limits: Vec<LimitCheck>,
}

/// Prints the estimate.
pub fn run(options: &PlanOptions) -> ExitCode {
    match build_plans(options) {
        Ok((measured, plans)) => {
            match options.json {
                true => println!("{:#}", to_json(options, &measured, &plans)),
                false => print_plans(options, &measured, &plans),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build_plans(options: &PlanOptions) -> Result<(Measurements, Vec<CapacityPlan>), String> {
    if options.answer_seconds <= 0.0 || options.cores <= 0.0 {
        return Err("--answer-seconds and --cores must be above 0".to_owned());
    }
    let measured = Measurements::read()?;
    let loads = match options.workspaces.zip(options.messages_per_day) {
        Some((workspaces, messages)) => vec![("custom", workspaces, messages)],
        None => SCENARIOS.to_vec(),
    };
    let plan = |(name, workspaces, messages_per_day): (&'static str, u64, f64)| {
        let load = PlannedLoad { workspaces: workspaces as f64, messages_per_day };
        let sizes = DeploymentSizes::estimate(options, &measured, load);
        let costs = MonthlyCosts::estimate(options, load, &sizes)?;
        Ok(CapacityPlan {
            name,
            load,
            limits: limit_checks::check_limits(load, options, &sizes),
            sizes,
            costs,
        })
    };
    let plans: Result<Vec<CapacityPlan>, String> = loads.into_iter().map(plan).collect();
    Ok((measured, plans?))
}

fn to_json(options: &PlanOptions, measured: &Measurements, plans: &[CapacityPlan]) -> serde_json::Value {
    serde_json::json!({ "measured": measured, "assumed": options, "plans": plans })
}

fn print_plans(options: &PlanOptions, measured: &Measurements, plans: &[CapacityPlan]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    let names = plans.iter().map(|plan| plan.name.to_owned());
    table.set_header(std::iter::once(String::new()).chain(names));
    let rows: Vec<Vec<(&str, String)>> =
        plans.iter().map(|plan| [plan.load_rows(), plan.sizes.rows(), plan.costs.rows()].concat()).collect();
    let Some(first) = rows.first() else { return };
    for (at, (label, _)) in first.iter().enumerate() {
        let cells = rows.iter().filter_map(|rows| Some(rows.get(at)?.1.clone()));
        table.add_row(std::iter::once((*label).to_owned()).chain(cells));
    }
    println!("{table}");
    for plan in plans {
        println!("\n{}:", plan.name);
        for LimitCheck { limit, verdict } in &plan.limits {
            println!("  {limit}: {verdict}");
        }
    }
    println!("\n{}", options.assumptions());
    println!("\nMeasured on two shared cores:");
    for figure in measured.rows() {
        println!(
            "  {:26} {:>10} {:26} {} ({})",
            figure.name, figure.value, figure.unit, figure.measured, figure.command
        );
    }
}

impl CapacityPlan {
    fn load_rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("workspaces", format!("{}", self.load.workspaces)),
            ("messages per day and workspace", format!("{}", self.load.messages_per_day)),
        ]
    }
}

#[cfg(test)]
mod tests;
