//! Dollars a month: by the prices of models that everybody is charged by, and by assumed ones of machines.

use llm::Price;
use serde::Serialize;

use super::sizing::format_number;
use super::{DeploymentSizes, PlanOptions, PlannedLoad};

const MONTH_DAYS: f64 = 30.0;
const MICROS_PER_DOLLAR: f64 = 1e6;
const MIB_PER_GIB: f64 = 1024.0;

/// A replica of `web` in GiB, with room above what it holds; and the same above what an `api` holds.
const WEB_INSTANCE_GIB: f64 = 0.25;
const HEADROOM_FACTOR: f64 = 2.0;

/// What a month costs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MonthlyCosts {
    pub(super) services: f64,
    /// A standby beside it.
    pub(super) database: f64,
    pub(super) redis: f64,
    pub(super) tokens_a_month: f64,
    pub(super) model: f64,
    pub(super) without_model: f64,
    pub(super) all: f64,
}

impl MonthlyCosts {
    /// Counts for a load.
    ///
    /// # Errors
    /// The model has no price.
    pub(super) fn estimate(
        options: &PlanOptions,
        load: PlannedLoad,
        sizes: &DeploymentSizes,
    ) -> Result<Self, String> {
        let price = Price::for_model(&options.model).ok_or_else(|| {
            format!("the model {} has no price here: name one of crates/llm/src/prices.csv", options.model)
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

    /// What is shown.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let dollars = |sum: f64| format!("${sum:.0}");
        vec![
            ("tokens a month, millions", format_number(self.tokens_a_month / MICROS_PER_DOLLAR)),
            ("api and web, a month", dollars(self.services)),
            ("Postgres with a standby, a month", dollars(self.database)),
            ("Redis, a month", dollars(self.redis)),
            ("the model, a month", dollars(self.model)),
            ("all, a month", dollars(self.all)),
        ]
    }
}
