//! `web plan`: what a deployment of a size takes, counted from what was measured (`measured.csv`) and from what is assumed of
//! people and prices, each of which an option says.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

mod costs;
mod limit_checks;
mod measurements;
mod sizing;

use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

use costs::MonthlyCosts;
use limit_checks::LimitCheck;
use measurements::Measurements;
use sizing::DeploymentSizes;

/// What is shown where no size is asked for: workspaces, and messages a day of each.
const SCENARIOS: [(&str, u64, f64); 3] =
    [("small", 50, 50.0), ("medium", 1_000, 100.0), ("large", 20_000, 100.0)];

/// What is planned for. All of it is assumed; measured is only what a reply, a page and a workspace take.
#[derive(Clone, Debug, Args, Serialize)]
pub struct PlanOptions {
    /// Workspaces; without it a small, a medium and a large deployment are shown
    #[arg(long, requires = "messages_per_day", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    workspaces: Option<u64>,
    /// Messages a day that are answered, of each workspace in the mean
    #[arg(long, requires = "workspaces", value_parser = parse_between::<1, 1_000_000>)]
    messages_per_day: Option<f64>,
    /// How much the busiest minute is above the mean of a day: 3 for eight working hours, and some more within them
    #[arg(long, default_value = "5", value_parser = parse_between::<1, 1_000>)]
    peak: f64,
    /// Seconds from a message to the end of its answer, which are the model's almost alone
    #[arg(long, default_value = "8", value_parser = parse_between::<0, 600>)]
    answer_seconds: f64,
    /// Tokens of a prompt, with what is remembered of the conversation
    #[arg(long, default_value = "1500", value_parser = parse_between::<0, 1_000_000>)]
    prompt_tokens: f64,
    /// Tokens of an answer
    #[arg(long, default_value = "300", value_parser = parse_between::<0, 1_000_000>)]
    answer_tokens: f64,
    /// The model, by its name in the table of prices
    #[arg(long, default_value = "gpt-5-mini")]
    model: String,
    /// People at the dashboard at once, for a hundred workspaces
    #[arg(long, default_value = "2", value_parser = parse_between::<0, 1_000_000>)]
    dashboard_users: f64,
    /// Cores of a replica
    #[arg(long, default_value = "1", value_parser = parse_between::<0, 1_000>)]
    cores: f64,
    /// Days for which it can be looked up what became of an event (EVENT_RETENTION_DAYS)
    #[arg(long, default_value = "30", value_parser = parse_between::<1, 3_650>)]
    retention_days: f64,
    /// Months of conversations, usage and audit log that the disk has to hold
    #[arg(long, default_value = "12", value_parser = parse_between::<1, 1_200>)]
    months: f64,
    /// Dollars a month for a core, in a cloud
    #[arg(long, default_value = "25", value_parser = parse_between::<0, 1_000_000>)]
    core_price: f64,
    /// Dollars a month for a GiB of memory
    #[arg(long, default_value = "4", value_parser = parse_between::<0, 1_000_000>)]
    memory_price: f64,
    /// Dollars a month for a GiB of disk
    #[arg(long, default_value = "0.15", value_parser = parse_between::<0, 1_000_000>)]
    disk_price: f64,
    /// For a program: one JSON object
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// How much is asked.
#[derive(Clone, Copy, Debug, Serialize)]
struct PlannedLoad {
    workspaces: f64,
    /// Of each workspace.
    messages_per_day: f64,
}

/// All that is counted for one load.
#[derive(Debug, Serialize)]
struct CapacityPlan {
    name: &'static str,
    load: PlannedLoad,
    sizes: DeploymentSizes,
    costs: MonthlyCosts,
    limits: Vec<LimitCheck>,
}

/// A number between two, both included.
fn parse_between<const LOW: u32, const HIGH: u32>(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    let (low, high) = (f64::from(LOW), f64::from(HIGH));
    // Prices may be nothing, and so may what nobody uses.
    match number.is_finite() && (low..=high).contains(&number) {
        true => Ok(number),
        false => Err(format!("this is not between {LOW} and {HIGH}")),
    }
}

/// Counts, and prints it.
pub fn run(options: &PlanOptions) -> ExitCode {
    match build_plans(options) {
        Ok((measured, plans)) => {
            match options.json {
                true => println!("{:#}", to_json(options, &measured, &plans)),
                false => print_plans(options, &measured, &plans),
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn build_plans(options: &PlanOptions) -> Result<(Measurements, Vec<CapacityPlan>), String> {
    if options.answer_seconds <= 0.0 || options.cores <= 0.0 {
        return Err("--answer-seconds and --cores have to be above 0".to_owned());
    }
    let measured = Measurements::read()?;
    let asked = options.workspaces.zip(options.messages_per_day);
    let loads = match asked {
        Some((workspaces, messages)) => vec![("asked for", workspaces, messages)],
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
    for (at, (what, _)) in first.iter().enumerate() {
        let cells = rows.iter().filter_map(|rows| Some(rows.get(at)?.1.clone()));
        table.add_row(std::iter::once((*what).to_owned()).chain(cells));
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
            ("messages a day, each", format!("{}", self.load.messages_per_day)),
        ]
    }
}

impl PlanOptions {
    /// What is not measured, in words.
    fn assumptions(&self) -> String {
        format!(
            "Assumed, and options: the busiest minute is {} times the mean; an answer takes {} s, {} tokens in and {} out of {}; \
             {} people at the dashboard for 100 workspaces; ${} a core, ${} a GiB of memory and ${} a GiB of disk a month.",
            self.peak,
            self.answer_seconds,
            self.prompt_tokens,
            self.answer_tokens,
            self.model,
            self.dashboard_users,
            self.core_price,
            self.memory_price,
            self.disk_price
        )
    }
}

#[cfg(test)]
mod tests;
