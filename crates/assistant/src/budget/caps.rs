//! The share of a budget that one request may use: arithmetic, without a database.

use db::reservations::BudgetUsage;
use llm::Price;
use models::WorkspaceSettings;

use super::denied::BudgetDenied;

/// The longest answer in workspaces with a budget. It bounds the worst case of a request, and leaves room for
/// reasoning tokens, which are charged as well.
const MAX_COMPLETION_TOKENS: i64 = 8_192;

/// The shortest answer for which a request is worth sending.
const MIN_COMPLETION_TOKENS: i64 = 512;

/// The limits that apply, in millionths of a dollar.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetCaps {
    pub(super) month: Option<i64>,
    pub(super) person_day: Option<i64>,
}

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallBudget {
    /// The maximum length of its answer.
    pub(super) max_completion_tokens: i64,
    /// Its cost at that length.
    pub(super) cost_micros: i64,
}

impl BudgetCaps {
    pub(super) fn from_settings(settings: &WorkspaceSettings, is_person: bool) -> Self {
        let person_day = settings.person_daily_micros.filter(|_| is_person);
        Self { month: settings.budget_micros, person_day }
    }

    /// Gives the request the rest of the budget, up to the longest answer. `charged` is the cost of earlier
    /// requests for the same message; any of `prices` may apply.
    pub(super) fn allocate(
        self,
        used: &BudgetUsage,
        charged: i64,
        prices: &[Price],
        prompt_tokens: i64,
    ) -> Result<CallBudget, BudgetDenied> {
        let minimum = worst_cost_micros(prices, prompt_tokens, MIN_COMPLETION_TOKENS);
        let mut left = i64::MAX;
        for (cap, spent, reserved, denied) in [
            (self.month, used.month_spent, used.month_reserved, BudgetDenied::Month),
            (self.person_day, used.day_spent, used.day_reserved, BudgetDenied::PersonDay),
        ] {
            let Some(cap) = cap else { continue };
            let unspent = cap.saturating_sub(spent).saturating_sub(charged);
            if unspent < minimum {
                return Err(denied);
            }
            left = left.min(unspent.saturating_sub(reserved));
        }
        if left < minimum {
            return Err(BudgetDenied::AllReserved);
        }
        let paid_for = prices.iter().map(|price| price.completion_tokens_for(left, prompt_tokens)).min();
        let max_completion_tokens = paid_for.unwrap_or(i64::MAX).min(MAX_COMPLETION_TOKENS);
        let cost_micros = worst_cost_micros(prices, prompt_tokens, max_completion_tokens);
        Ok(CallBudget { max_completion_tokens, cost_micros })
    }
}

/// Returns the cost of these tokens with the most expensive model.
fn worst_cost_micros(prices: &[Price], prompt_tokens: i64, completion_tokens: i64) -> i64 {
    let costs = prices.iter().map(|price| price.cost_micros(prompt_tokens, completion_tokens));
    costs.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHEAP: Price = Price { prompt: 250_000, completion: 2_000_000 };
    const EXPENSIVE: Price = Price { prompt: 2_500_000, completion: 10_000_000 };

    fn month(cap: i64) -> BudgetCaps {
        BudgetCaps { month: Some(cap), person_day: None }
    }

    #[test]
    fn answer_length_is_capped_by_budget() {
        let used = BudgetUsage { month_spent: 1_000, month_reserved: 2_000, ..BudgetUsage::default() };
        let uncapped = month(1_000_000).allocate(&used, 0, &[CHEAP], 400);
        let maximum = CallBudget { max_completion_tokens: 8_192, cost_micros: 16_484 };
        assert_eq!(uncapped, Ok(maximum));
        let short = CallBudget { max_completion_tokens: 1_000, cost_micros: 2_100 };
        assert_eq!(month(5_100).allocate(&used, 0, &[CHEAP], 400), Ok(short));
        assert_eq!(month(5_200).allocate(&used, 100, &[CHEAP], 400), Ok(short));
    }

    #[test]
    fn budget_denial_names_its_cap() {
        let used = BudgetUsage { month_spent: 1_000, month_reserved: 2_000, day_spent: 900, day_reserved: 0 };
        let minimum = CHEAP.cost_micros(400, MIN_COMPLETION_TOKENS);
        let allocate = |caps: BudgetCaps| caps.allocate(&used, 0, &[CHEAP], 400);
        assert_eq!(allocate(month(999 + minimum)), Err(BudgetDenied::Month));
        assert_eq!(allocate(month(1_000 + minimum)), Err(BudgetDenied::AllReserved));
        assert!(allocate(month(3_000 + minimum)).is_ok());
        let day = |cap| BudgetCaps { month: Some(1_000_000), person_day: Some(cap) };
        assert_eq!(allocate(day(899 + minimum)), Err(BudgetDenied::PersonDay));
        assert!(allocate(day(900 + minimum)).is_ok());
        assert_eq!(month(1_000 + minimum).allocate(&used, 1, &[CHEAP], 400), Err(BudgetDenied::Month));
    }

    proptest! {
        /// Spent plus reserved stays within the cap for any requests, in any order of completion.
        #[test]
        fn calls_in_any_order_stay_within_cap(
            cap in 0_i64..200_000,
            calls in prop::collection::vec((0_i64..20_000, 0_i64..9_000, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut used = BudgetUsage::default();
            let mut in_progress: Vec<(i64, i64)> = Vec::new();
            for (prompt_tokens, completion_tokens, is_expensive, is_one_ending) in calls {
                let prices = if is_expensive { vec![CHEAP, EXPENSIVE] } else { vec![CHEAP] };
                if let Ok(call) = month(cap).allocate(&used, 0, &prices, prompt_tokens) {
                    let written = completion_tokens.min(call.max_completion_tokens);
                    let cost = prices[0].cost_micros(prompt_tokens, written);
                    prop_assert!(cost <= call.cost_micros);
                    used.month_reserved += call.cost_micros;
                    in_progress.push((call.cost_micros, cost));
                }
                if is_one_ending && !in_progress.is_empty() {
                    let (reserved, cost) = in_progress.swap_remove(0);
                    used.month_reserved -= reserved;
                    used.month_spent += cost;
                }
                prop_assert!(used.month_spent + used.month_reserved <= cap);
            }
        }
    }
}
