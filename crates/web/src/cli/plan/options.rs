//! Options of `web plan`.

use clap::Args;
use serde::Serialize;

/// The assumptions of the estimate. Only the cost of a reply, a page and a workspace is measured.
#[derive(Clone, Debug, Args, Serialize)]
pub struct PlanOptions {
    /// Number of workspaces; by default a small, a medium and a large deployment are shown
    #[arg(long, requires = "messages_per_day", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(super) workspaces: Option<u64>,
    /// Answered messages per day and workspace, on average
    #[arg(long, requires = "workspaces", value_parser = parse_between::<1, 1_000_000>)]
    pub(super) messages_per_day: Option<f64>,
    /// Load of the busiest minute as a multiple of the daily average: 3 for eight working hours, plus peaks
    /// within them
    #[arg(long, default_value = "5", value_parser = parse_between::<1, 1_000>)]
    pub(super) peak: f64,
    /// Seconds from a message to the end of its answer, mostly spent by the model
    #[arg(long, default_value = "8", value_parser = parse_between::<0, 600>)]
    pub(super) answer_seconds: f64,
    /// Tokens per prompt, including the conversation so far
    #[arg(long, default_value = "1500", value_parser = parse_between::<0, 1_000_000>)]
    pub(super) prompt_tokens: f64,
    /// Tokens per answer
    #[arg(long, default_value = "300", value_parser = parse_between::<0, 1_000_000>)]
    pub(super) answer_tokens: f64,
    /// Model, by its name in the price list
    #[arg(long, default_value = "gpt-5-mini")]
    pub(super) model: String,
    /// Concurrent dashboard users per 100 workspaces
    #[arg(long, default_value = "2", value_parser = parse_between::<0, 1_000_000>)]
    pub(super) dashboard_users: f64,
    /// CPU cores per replica
    #[arg(long, default_value = "1", value_parser = parse_between::<0, 1_000>)]
    pub(super) cores: f64,
    /// Days that finished events are kept (EVENT_RETENTION_DAYS)
    #[arg(long, default_value = "30", value_parser = parse_between::<1, 3_650>)]
    pub(super) retention_days: f64,
    /// Months of conversations, usage and audit log to store
    #[arg(long, default_value = "12", value_parser = parse_between::<1, 1_200>)]
    pub(super) months: f64,
    /// Price of a CPU core, in dollars per month
    #[arg(long, default_value = "25", value_parser = parse_between::<0, 1_000_000>)]
    pub(super) core_price: f64,
    /// Price of a GiB of memory, in dollars per month
    #[arg(long, default_value = "4", value_parser = parse_between::<0, 1_000_000>)]
    pub(super) memory_price: f64,
    /// Price of a GiB of disk, in dollars per month
    #[arg(long, default_value = "0.15", value_parser = parse_between::<0, 1_000_000>)]
    pub(super) disk_price: f64,
    /// Output as JSON
    #[arg(long)]
    #[serde(skip)]
    pub(super) json: bool,
}

/// The load of a deployment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PlannedLoad {
    pub(super) workspaces: f64,
    /// Messages per day and workspace.
    pub(super) messages_per_day: f64,
}

/// Parses a number from `LOW` to `HIGH`, both included.
fn parse_between<const LOW: u32, const HIGH: u32>(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let (low, high) = (f64::from(LOW), f64::from(HIGH));
    // Prices and unused resources may be zero.
    match number.is_finite() && (low..=high).contains(&number) {
        true => Ok(number),
        false => Err(format!("not between {LOW} and {HIGH}")),
    }
}

impl PlanOptions {
    /// Describes the assumptions.
    pub(super) fn assumptions(&self) -> String {
        format!(
            "Assumptions (see --help): the busiest minute has {} times the average load; an answer takes \
             {} s, {} input and {} output tokens of {}; {} dashboard users per 100 workspaces; ${} per core, \
             ${} per GiB of memory and ${} per GiB of disk, each per month.",
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
