//! What answers may cost. Before each call of a model its worst case is reserved (`db::reservations`): the prompt at one token
//! a byte, and an answer of the length that is sent along as its limit; a call that broke off is charged like any other. Where
//! no budget is set nothing is reserved.

mod alerts;
mod caps;

use std::time::Duration;

use chrono::{DateTime, Days, Months, NaiveDate, Utc};
use db::Tx;
use db::reservations::{BudgetUsage, Charged, Reservation};
use db::settings::TenantConfig;
use llm::{ModelClient, ModelSelection, Price};
use models::{TenantId, Usage, UserId};
use serde_json::Value;

use caps::{BudgetCaps, CallBudget};

pub(crate) use alerts::{mark_threshold_reached, notify_budget_contacts};
pub(crate) use caps::BudgetDenied;

/// Hundredths of the month's budget at which somebody is told, and a cheaper model answers.
const ALERT_THRESHOLD_PERCENT: i64 = 80;

/// A call that is to be paid.
pub(crate) struct ReserveRequest<'a> {
    pub(crate) tenant_id: &'a TenantId,
    /// The question's number.
    pub(crate) seq: i64,
    pub(crate) user_id: &'a UserId,
    pub(crate) config: &'a TenantConfig,
    /// What the model is asked.
    pub(crate) messages: &'a [Value],
    /// Seconds after which nobody comes back from it; `None`: its event is tried again until it ends.
    pub(crate) expires_after: Option<f64>,
}

/// What a call is paid from.
pub(crate) struct Allowance {
    /// The models that may be asked, and how long their answer may be.
    pub(crate) selection: ModelSelection,
    /// Whether money is held for it.
    pub(crate) is_reserved: bool,
    /// Whether a model without a price counts as the dearest there is.
    is_unpriced_charged: bool,
}

/// What a call took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charge {
    pub(crate) usage: Usage,
    pub(crate) cost_micros: i64,
}

impl Allowance {
    /// Where nothing is limited.
    pub(crate) fn unlimited(tenant_id: &TenantId, stored: &TenantConfig) -> Self {
        let is_unpriced_charged = stored.settings.has_budget();
        Self { selection: model_selection(tenant_id, stored), is_reserved: false, is_unpriced_charged }
    }

    /// What a call took that has said this, as the model told or by its length.
    pub(crate) fn charge_for(&self, told: &Usage, messages: &[Value], said: &str) -> Charge {
        let usage = llm::billed_usage(told, messages, said, self.selection.max_completion_tokens);
        let price = Price::for_model(&usage.model).or_else(|| self.is_unpriced_charged.then(Price::highest));
        let cost = price.map(|price| price.cost_micros(usage.prompt_tokens, usage.completion_tokens));
        Charge { usage, cost_micros: cost.unwrap_or_default() }
    }
}

/// Holds money for a call. The transaction is to be committed whatever comes of it, before the model is asked.
pub(crate) async fn reserve_call(
    model: &ModelClient,
    tx: &mut Tx,
    bill: &ReserveRequest<'_>,
) -> Result<Result<Allowance, BudgetDenied>, db::DbError> {
    let ReserveRequest { tenant_id, seq, user_id, config: stored, .. } = *bill;
    let purse = Allowance::unlimited(tenant_id, stored);
    let Some(claim) = db::reservations::lock_budget(tx, tenant_id, seq).await? else { return Ok(Ok(purse)) };
    let standing = db::reservations::load_budget_usage(tx, tenant_id, seq, user_id).await?;
    match allocate(model, bill, purse, claim, &standing) {
        Ok((purse, allotment)) => {
            store_reservation(model, tx, bill, &purse, claim.charged_micros + allotment.cost_micros).await?;
            Ok(Ok(purse))
        }
        Err(refusal) => {
            // What a dead process left is charged by now.
            db::reservations::settle_call(tx, tenant_id, seq).await?;
            Ok(Err(refusal))
        }
    }
}

/// Near the end of the month's budget only the cheaper model is asked, if one is set; else also where the others are too dear.
fn allocate(
    model: &ModelClient,
    bill: &ReserveRequest<'_>,
    mut purse: Allowance,
    claim: Charged,
    standing: &BudgetUsage,
) -> Result<(Allowance, CallBudget), BudgetDenied> {
    let settings = &bill.config.settings;
    let spent = standing.month_spent.saturating_add(claim.charged_micros);
    let usual = model.model_names(&purse.selection).to_vec();
    let cheaper = settings.cheaper_model.clone().map(|name| vec![name]);
    let is_near_end = settings.budget_micros.is_some_and(|budget| is_near_limit(spent, budget));
    let candidates = match cheaper {
        Some(cheaper) if is_near_end => vec![cheaper],
        Some(cheaper) => vec![usual, cheaper],
        None => vec![usual],
    };
    let caps = BudgetCaps::from_settings(settings, is_person(bill.user_id));
    let prompt_tokens = llm::max_prompt_tokens(bill.messages);
    let mut refusal = BudgetDenied::Month;
    for names in candidates {
        let prices: Vec<Price> =
            names.iter().map(|name| Price::for_model(name).unwrap_or_else(Price::highest)).collect();
        match caps.allocate(standing, claim.charged_micros, &prices, prompt_tokens) {
            Ok(allotment) => {
                purse.selection.models = names;
                purse.selection.max_completion_tokens = Some(allotment.max_completion_tokens);
                purse.is_reserved = true;
                return Ok((purse, allotment));
            }
            Err(why) => refusal = why,
        }
    }
    Err(refusal)
}

async fn store_reservation(
    model: &ModelClient,
    tx: &mut Tx,
    bill: &ReserveRequest<'_>,
    purse: &Allowance,
    cost_micros: i64,
) -> Result<(), db::DbError> {
    let first = model.model_names(&purse.selection).first().cloned().unwrap_or_default();
    let prompt_tokens = llm::estimate_prompt_tokens(bill.messages);
    let least = Usage { model: first, prompt_tokens, completion_tokens: 0 };
    let least = purse.charge_for(&least, bill.messages, "");
    let reservation = Reservation {
        user_id: bill.user_id,
        cost_micros,
        min_usage: &least.usage,
        min_cost_micros: least.cost_micros,
        expires_after: bill.expires_after,
    };
    db::reservations::reserve(tx, bill.tenant_id, bill.seq, reservation).await
}

/// The models and the key of a workspace.
fn model_selection(tenant_id: &TenantId, stored: &TenantConfig) -> ModelSelection {
    let own_key = stored.model_key.clone().map(|key| (tenant_id.to_string(), key));
    ModelSelection {
        models: stored.settings.models.clone(),
        tenant_api_key: own_key,
        max_completion_tokens: None,
    }
}

/// A program that asks for nobody in particular is no person.
fn is_person(user_id: &UserId) -> bool {
    !user_id.as_str().starts_with("key:")
}

fn is_near_limit(spent: i64, budget: i64) -> bool {
    spent.saturating_mul(100) >= budget.saturating_mul(ALERT_THRESHOLD_PERCENT)
}

impl BudgetDenied {
    /// What stands in the workspace's list of reasons.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Month => "over budget",
            Self::PersonDay => "over the person's daily budget",
            Self::AllReserved => "what is left of the budget is held for answers in work",
        }
    }

    /// When it may be otherwise.
    pub(crate) fn retry_after(self) -> Duration {
        let now = Utc::now();
        let today = now.date_naive();
        match self {
            Self::Month => {
                let first = chrono::Datelike::with_day(&today, 1);
                duration_until(now, first.and_then(|day| day.checked_add_months(Months::new(1))))
            }
            Self::PersonDay => duration_until(now, today.checked_add_days(Days::new(1))),
            Self::AllReserved => Duration::from_secs(1),
        }
    }
}

fn duration_until(now: DateTime<Utc>, day: Option<NaiveDate>) -> Duration {
    let begins = day.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    begins.and_then(|begins| (begins - now).to_std().ok()).unwrap_or_default()
}
