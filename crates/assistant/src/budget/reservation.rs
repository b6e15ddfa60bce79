//! Reserving the worst-case cost of a request before it is sent.

use db::reservations::{BudgetUsage, Charged, Reservation};
use db::settings::TenantConfig;
use db::threads::Lease;
use db::{Db, DbError, Tx};
use llm::{ModelClient, Price};
use models::{TenantId, Usage, UserId};
use serde_json::Value;

use super::alerts::is_near_limit;
use super::allowance::Allowance;
use super::caps::{BudgetCaps, CallBudget};
use super::denied::BudgetDenied;

/// A request whose cost is to be reserved.
pub struct ReserveRequest<'a> {
    /// The workspace that pays.
    pub tenant_id: &'a TenantId,
    /// The person whose daily budget counts, or the API key.
    pub user_id: &'a UserId,
    /// The workspace's budgets and models.
    pub config: &'a TenantConfig,
    /// The messages for the model.
    pub messages: &'a [Value],
    /// The work that the request belongs to.
    pub owner: ReservationOwner<'a>,
}

/// The work under whose number a reservation is stored.
#[derive(Clone, Copy, Debug)]
pub enum ReservationOwner<'a> {
    /// A queued event. It is retried until it ends, so its reservation does not expire; a retry takes it
    /// over.
    Event {
        /// The lease on its thread, which is checked in the same transaction.
        lease: &'a Lease,
        /// Its number.
        seq: i64,
    },
    /// A request over HTTP, which gets a new number and is never retried.
    HttpRequest {
        /// Seconds after which the answer cannot be in progress any more.
        expires_after_seconds: f64,
    },
}

/// Reserves the cost of a request and commits that before returning. Without a budget nothing is reserved,
/// and Postgres is not queried.
pub async fn reserve_call(
    db: &Db,
    model: &ModelClient,
    request: &ReserveRequest<'_>,
) -> Result<Result<Allowance, BudgetDenied>, DbError> {
    if !request.config.settings.has_budget() {
        return Ok(Ok(Allowance::unlimited(request.tenant_id, request.config)));
    }
    let mut tx = db.begin(request.tenant_id).await?;
    let seq = match request.owner {
        ReservationOwner::Event { lease, seq } => {
            db::threads::assert_lease(&mut tx, lease).await?;
            seq
        }
        ReservationOwner::HttpRequest { .. } => db::events::next_seq(&mut tx).await?,
    };
    let reserved = reserve_in_tx(model, &mut tx, request, seq).await?;
    // A denial is committed too: it may have charged a request that a dead process left.
    tx.commit().await?;
    Ok(reserved)
}

async fn reserve_in_tx(
    model: &ModelClient,
    tx: &mut Tx,
    request: &ReserveRequest<'_>,
    seq: i64,
) -> Result<Result<Allowance, BudgetDenied>, DbError> {
    let ReserveRequest { tenant_id, user_id, .. } = *request;
    let allowance = Allowance::unlimited(tenant_id, request.config);
    let Some(charged) = db::reservations::lock_budget(tx, tenant_id, seq).await? else {
        return Ok(Ok(allowance));
    };
    let used = db::reservations::load_budget_usage(tx, tenant_id, seq, user_id).await?;
    match allocate(model, request, allowance, &charged, &used) {
        Ok((mut allowance, call)) => {
            let cost_micros = charged.charged_micros + call.cost_micros;
            store_reservation(model, tx, request, &allowance, seq, cost_micros).await?;
            allowance.reserved_seq = Some(seq);
            Ok(Ok(allowance))
        }
        Err(denied) => {
            // By now `lock_budget` has charged what a dead process left.
            db::reservations::settle_call(tx, tenant_id, seq).await?;
            Ok(Err(denied))
        }
    }
}

/// Selects the models. Near the monthly limit only the cheaper model is used, if one is set; before that it
/// is used where the others are too expensive.
fn allocate(
    model: &ModelClient,
    request: &ReserveRequest<'_>,
    mut allowance: Allowance,
    charged: &Charged,
    used: &BudgetUsage,
) -> Result<(Allowance, CallBudget), BudgetDenied> {
    let settings = &request.config.settings;
    let spent = used.month_spent.saturating_add(charged.charged_micros);
    let usual = model.model_names(&allowance.selection).to_vec();
    let cheaper = settings.cheaper_model.clone().map(|name| vec![name]);
    let is_near_end = settings.budget_micros.is_some_and(|budget| is_near_limit(spent, budget));
    let candidates = match cheaper {
        Some(cheaper) if is_near_end => vec![cheaper],
        Some(cheaper) => vec![usual, cheaper],
        None => vec![usual],
    };
    let caps = BudgetCaps::from_settings(settings, is_person(request.user_id));
    let prompt_tokens = llm::max_prompt_tokens(request.messages);
    let mut denied = BudgetDenied::Month;
    for names in candidates {
        let prices: Vec<Price> =
            names.iter().map(|name| Price::for_model(name).unwrap_or_else(Price::highest)).collect();
        match caps.allocate(used, charged.charged_micros, &prices, prompt_tokens) {
            Ok(call) => {
                allowance.selection.models = names;
                allowance.selection.max_completion_tokens = Some(call.max_completion_tokens);
                return Ok((allowance, call));
            }
            Err(reason) => denied = reason,
        }
    }
    Err(denied)
}

async fn store_reservation(
    model: &ModelClient,
    tx: &mut Tx,
    request: &ReserveRequest<'_>,
    allowance: &Allowance,
    seq: i64,
    cost_micros: i64,
) -> Result<(), DbError> {
    let first = model.model_names(&allowance.selection).first().cloned().unwrap_or_default();
    let prompt_tokens = llm::estimate_prompt_tokens(request.messages);
    let minimum = Usage { model: first, prompt_tokens, completion_tokens: 0 };
    let minimum = allowance.charge_for(&minimum, request.messages, "");
    let expires_after = match request.owner {
        ReservationOwner::Event { .. } => None,
        ReservationOwner::HttpRequest { expires_after_seconds } => Some(expires_after_seconds),
    };
    let reservation = Reservation {
        user_id: request.user_id,
        cost_micros,
        min_usage: &minimum.usage,
        min_cost_micros: minimum.cost_micros,
        expires_after,
    };
    db::reservations::reserve(tx, request.tenant_id, seq, reservation).await
}

/// Returns whether the cost counts towards a person's budget; an API key is no person.
fn is_person(user_id: &UserId) -> bool {
    !user_id.as_str().starts_with("key:")
}
