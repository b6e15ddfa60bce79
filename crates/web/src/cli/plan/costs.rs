//! Monthly cost: models at their list prices, machines at assumed prices.

use llm::Price;
use serde::Serialize;

use super::options::{PlanOptions, PlannedLoad};
use super::sizing::{DeploymentSizes, format_number};

const MONTH_DAYS: f64 = 30.0;
const MICROS_PER_DOLLAR: f64 = 1e6;
const MIB_PER_GIB: f64 = 1024.0;

/// Memory of a `web` replica in GiB, and the factor by which other machines get more than they use.
const WEB_INSTANCE_GIB: f64 = 0.25;
const HEADROOM_FACTOR: f64 = 2.0;

/// The cost of a month, in dollars.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MonthlyCosts {
    pub(super) services: f64,
    /// Includes a standby.
    pub(super) database: f64,
    pub(super) redis: f64,
    pub(super) tokens_a_month: f64,
    pub(super) model: f64,
    pub(super) without_model: f64,
    pub(super) all: f64,
}

impl MonthlyCosts {
    /// Estimates the cost of a load.
    ///
    /// # Errors
    /// The model is not in the price list.
    pub(super) fn estimate(
        options: &PlanOptions,
        load: PlannedLoad,
        sizes: &DeploymentSizes,
    ) -> Result<Self, String> {
        let price = Price::for_model(&options.model).ok_or_else(|| {
            format!("the price list has no model {}; use one that it has, such as gpt-5-mini", options.model)
        })?;
        let replies = load.workspaces * load.messages_per_day * MONTH_DAYS;
        let micros = price.cost_micros(options.prompt_tokens as i64, options.answer_tokens as i64) as f64;
        let machine = |cores: f64, gib: f64| cores * options.core_price + gib * options.memory_price;
        let api_gib = (sizes.api_mib_each * HEADROOM_FACTOR / MIB_PER_GIB).max(WEB_INSTANCE_GIB);
        let services = sizes.api_replicas * machine(options.cores, api_gib)
            + sizes.web_replicas * machine(options.cores, WEB_INSTANCE_GIB);
        let database = 2.0
            * (machine(sizes.database_cores, sizes.database_gib_memory)
                + sizes.disk_gib * HEADROOM_FACTOR * options.disk_price);
        let redis = machine(1.0, (sizes.redis_mib * HEADROOM_FACTOR / MIB_PER_GIB).max(WEB_INSTANCE_GIB));
        let model = replies * micros / MICROS_PER_DOLLAR;
        let without_model = services + database + redis;
        let tokens_a_month = replies * (options.prompt_tokens + options.answer_tokens);
        Ok(Self {
            services,
            database,
            redis,
            tokens_a_month,
            model,
            without_model,
            all: without_model + model,
        })
    }

    /// Returns the rows of the table.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let dollars = |sum: f64| format!("${sum:.0}");
        vec![
            ("tokens per month, millions", format_number(self.tokens_a_month / MICROS_PER_DOLLAR)),
            ("api and web, per month", dollars(self.services)),
            ("Postgres with a standby, per month", dollars(self.database)),
            ("Redis, per month", dollars(self.redis)),
            ("model, per month", dollars(self.model)),
            ("total, per month", dollars(self.all)),
        ]
    }
}
