//! The models and the length that one request may use, and the charge for it.

use db::settings::TenantConfig;
use llm::{ModelSelection, Price};
use models::{TenantId, Usage};
use serde_json::Value;

/// The permission to send one request.
pub struct Allowance {
    /// The models that may be used, and the maximum length of the answer.
    pub selection: ModelSelection,
    /// The number under which its cost is reserved; `None` without a reservation.
    pub reserved_seq: Option<i64>,
    /// True if a model without a known price is charged like the most expensive one.
    is_unpriced_charged: bool,
}

/// The tokens and the cost of one request.
#[derive(Clone, Debug, Default)]
pub struct Charge {
    /// The tokens, as the model reported them or as they were estimated.
    pub usage: Usage,
    /// Their cost in millionths of a dollar.
    pub cost_micros: i64,
}

impl Allowance {
    /// Returns an allowance without a limit.
    pub fn unlimited(tenant_id: &TenantId, config: &TenantConfig) -> Self {
        let own_key = config.model_key.clone().map(|key| (tenant_id.to_string(), key));
        let selection = ModelSelection {
            models: config.settings.models.clone(),
            tenant_api_key: own_key,
            max_completion_tokens: None,
        };
        Self { selection, reserved_seq: None, is_unpriced_charged: config.settings.has_budget() }
    }

    /// Returns the charge for a request that was answered with `text`. Tokens that the model did not report
    /// are estimated from the length.
    pub fn charge_for(&self, reported: &Usage, messages: &[Value], text: &str) -> Charge {
        let usage = llm::billed_usage(reported, messages, text, self.selection.max_completion_tokens);
        let price = Price::for_model(&usage.model).or_else(|| self.is_unpriced_charged.then(Price::highest));
        let cost = price.map(|price| price.cost_micros(usage.prompt_tokens, usage.completion_tokens));
        Charge { usage, cost_micros: cost.unwrap_or_default() }
    }
}
