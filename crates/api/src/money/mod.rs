//! What answers may cost. Before each call of a model its worst case is reserved (`db::reservations`): the prompt at one token
//! a byte, and an answer of the length that is sent along as its limit; a call that broke off is charged like any other. Where
//! no budget is set nothing is reserved.

mod allotment;
mod telling;

use std::time::Duration;

use chrono::{DateTime, Days, Months, NaiveDate, Utc};
use db::Tx;
use db::reservations::{Claim, Reservation, Standing};
use db::settings::Stored;
use llm::{Choice, Model, Price};
use models::{TenantId, Usage, UserId};
use serde_json::Value;

use allotment::{Allotment, Caps};

pub(crate) use allotment::Refusal;
pub(crate) use telling::{note_ending, tell};

/// Hundredths of the month's budget at which somebody is told, and a cheaper model answers.
const NEAR_END: i64 = 80;

/// A call that is to be paid.
pub(crate) struct Bill<'a> {
    pub(crate) tenant_id: &'a TenantId,
    /// The question's number.
    pub(crate) seq: i64,
    pub(crate) user_id: &'a UserId,
    pub(crate) stored: &'a Stored,
    /// What the model is asked.
    pub(crate) messages: &'a [Value],
    /// Seconds after which nobody comes back from it; `None`: its event is tried again until it ends.
    pub(crate) expires_after: Option<f64>,
}

/// What a call is paid from.
pub(crate) struct Purse {
    /// The models that may be asked, and how long their answer may be.
    pub(crate) choice: Choice,
    /// Whether money is held for it.
    pub(crate) is_held: bool,
    /// Whether a model without a price counts as the dearest there is.
    counts_all: bool,
}

/// What a call took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) usage: Usage,
    pub(crate) cost_micros: i64,
}

impl Purse {
    /// Where nothing is limited.
    pub(crate) fn open(tenant_id: &TenantId, stored: &Stored) -> Self {
        let counts_all = stored.settings.has_budget();
        Self { choice: choice(tenant_id, stored), is_held: false, counts_all }
    }

    /// What a call took that has said this, as the model told or by its length.
    pub(crate) fn taken(&self, told: &Usage, messages: &[Value], said: &str) -> Taken {
        let usage = llm::taken(told, messages, said, self.choice.max_completion_tokens);
        let price = Price::of(&usage.model).or_else(|| self.counts_all.then(Price::highest));
        let cost = price.map(|price| price.cost_micros(usage.prompt_tokens, usage.completion_tokens));
        Taken { usage, cost_micros: cost.unwrap_or_default() }
    }
}

/// Holds money for a call. The transaction is to be committed whatever comes of it, before the model is asked.
pub(crate) async fn reserve(
    model: &Model,
    tx: &mut Tx,
    bill: &Bill<'_>,
) -> Result<Result<Purse, Refusal>, db::DbError> {
    let Bill { tenant_id, seq, user_id, stored, .. } = *bill;
    let purse = Purse::open(tenant_id, stored);
    let Some(claim) = db::reservations::claim(tx, tenant_id, seq).await? else { return Ok(Ok(purse)) };
    let standing = db::reservations::standing(tx, tenant_id, seq, user_id).await?;
    match allot(model, bill, purse, claim, &standing) {
        Ok((purse, allotment)) => {
            hold(model, tx, bill, &purse, claim.charged_micros + allotment.cost_micros).await?;
            Ok(Ok(purse))
        }
        Err(refusal) => {
            // What a dead process left is charged by now.
            db::reservations::end_call(tx, tenant_id, seq).await?;
            Ok(Err(refusal))
        }
    }
}

/// Near the end of the month's budget only the cheaper model is asked, if one is set; else also where the others are too dear.
fn allot(
    model: &Model,
    bill: &Bill<'_>,
    mut purse: Purse,
    claim: Claim,
    standing: &Standing,
) -> Result<(Purse, Allotment), Refusal> {
    let settings = &bill.stored.settings;
    let spent = standing.month_spent.saturating_add(claim.charged_micros);
    let usual = model.names(&purse.choice).to_vec();
    let cheaper = settings.cheaper_model.clone().map(|name| vec![name]);
    let is_near_end = settings.budget_micros.is_some_and(|budget| is_near(spent, budget));
    let candidates = match cheaper {
        Some(cheaper) if is_near_end => vec![cheaper],
        Some(cheaper) => vec![usual, cheaper],
        None => vec![usual],
    };
    let caps = Caps::of(settings, is_person(bill.user_id));
    let prompt_tokens = llm::most_prompt_tokens(bill.messages);
    let mut refusal = Refusal::Month;
    for names in candidates {
        let prices: Vec<Price> =
            names.iter().map(|name| Price::of(name).unwrap_or_else(Price::highest)).collect();
        match caps.allot(standing, claim.charged_micros, &prices, prompt_tokens) {
            Ok(allotment) => {
                purse.choice.models = names;
                purse.choice.max_completion_tokens = Some(allotment.max_completion_tokens);
                purse.is_held = true;
                return Ok((purse, allotment));
            }
            Err(why) => refusal = why,
        }
    }
    Err(refusal)
}

async fn hold(
    model: &Model,
    tx: &mut Tx,
    bill: &Bill<'_>,
    purse: &Purse,
    cost_micros: i64,
) -> Result<(), db::DbError> {
    let first = model.names(&purse.choice).first().cloned().unwrap_or_default();
    let prompt_tokens = llm::about_prompt_tokens(bill.messages);
    let least = Usage { model: first, prompt_tokens, completion_tokens: 0 };
    let least = purse.taken(&least, bill.messages, "");
    let reservation = Reservation {
        user_id: bill.user_id,
        cost_micros,
        least: &least.usage,
        least_micros: least.cost_micros,
        expires_after: bill.expires_after,
    };
    db::reservations::set(tx, bill.tenant_id, bill.seq, reservation).await
}

/// The models and the key of a workspace.
fn choice(tenant_id: &TenantId, stored: &Stored) -> Choice {
    let own_key = stored.model_key.clone().map(|key| (tenant_id.to_string(), key));
    Choice { models: stored.settings.models.clone(), own_key, max_completion_tokens: None }
}

/// A program that asks for nobody in particular is no person.
fn is_person(user_id: &UserId) -> bool {
    !user_id.as_str().starts_with("key:")
}

fn is_near(spent: i64, budget: i64) -> bool {
    spent.saturating_mul(100) >= budget.saturating_mul(NEAR_END)
}

impl Refusal {
    /// What stands in the workspace's list of reasons.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Month => "over budget",
            Self::PersonDay => "over the person's daily budget",
            Self::Held => "what is left of the budget is held for answers in work",
        }
    }

    /// When it may be otherwise.
    pub(crate) fn ends_in(self) -> Duration {
        let now = Utc::now();
        let today = now.date_naive();
        match self {
            Self::Month => {
                let first = chrono::Datelike::with_day(&today, 1);
                until(now, first.and_then(|day| day.checked_add_months(Months::new(1))))
            }
            Self::PersonDay => until(now, today.checked_add_days(Days::new(1))),
            Self::Held => Duration::from_secs(1),
        }
    }
}

fn until(now: DateTime<Utc>, day: Option<NaiveDate>) -> Duration {
    let begins = day.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    begins.and_then(|begins| (begins - now).to_std().ok()).unwrap_or_default()
}
