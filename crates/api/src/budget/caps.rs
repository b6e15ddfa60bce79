//! How much of what is left one call may take: arithmetic, without a database.

use db::reservations::BudgetUsage;
use llm::Price;
use models::WorkspaceSettings;

/// The longest answer where a budget is set. It bounds what a call costs at its worst, and leaves room for a model that
/// thinks before it speaks, which counts as well.
const MAX_COMPLETION_TOKENS: i64 = 8_192;

/// The shortest that is worth beginning with.
const MIN_COMPLETION_TOKENS: i64 = 512;

/// Why a call may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BudgetDenied {
    /// What the workspace may spend in the month does not pay for another answer.
    Month,
    /// Nor does what the person may in the day.
    PersonDay,
    /// It would, but for what is held for answers in work.
    AllReserved,
}

/// What may be spent, in millionths of a dollar.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetCaps {
    pub(super) month: Option<i64>,
    pub(super) person_day: Option<i64>,
}

/// What a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallBudget {
    /// Where its answer ends at the latest.
    pub(super) max_completion_tokens: i64,
    /// What it costs then.
    pub(super) cost_micros: i64,
}

impl BudgetCaps {
    pub(super) fn from_settings(settings: &WorkspaceSettings, is_person: bool) -> Self {
        let person_day = settings.person_daily_micros.filter(|_| is_person);
        Self { month: settings.budget_micros, person_day }
    }

    /// Lets a call have what is left, up to the longest answer. `charged` is what earlier calls for the same question have
    /// cost; any of `prices` may be the one that is paid.
    pub(super) fn allocate(
        self,
        standing: &BudgetUsage,
        charged: i64,
        prices: &[Price],
        prompt_tokens: i64,
    ) -> Result<CallBudget, BudgetDenied> {
        let least = worst_cost_micros(prices, prompt_tokens, MIN_COMPLETION_TOKENS);
        let mut left = i64::MAX;
        for (cap, spent, held, refusal) in [
            (self.month, standing.month_spent, standing.month_reserved, BudgetDenied::Month),
            (self.person_day, standing.day_spent, standing.day_reserved, BudgetDenied::PersonDay),
        ] {
            let Some(cap) = cap else { continue };
            let unspent = cap.saturating_sub(spent).saturating_sub(charged);
            if unspent < least {
                return Err(refusal);
            }
            left = left.min(unspent.saturating_sub(held));
        }
        if left < least {
            return Err(BudgetDenied::AllReserved);
        }
        let paid_for = prices.iter().map(|price| price.completion_tokens_for(left, prompt_tokens)).min();
        let max_completion_tokens = paid_for.unwrap_or(i64::MAX).min(MAX_COMPLETION_TOKENS);
        let cost_micros = worst_cost_micros(prices, prompt_tokens, max_completion_tokens);
        Ok(CallBudget { max_completion_tokens, cost_micros })
    }
}

/// What so many tokens cost with the dearest of the models.
fn worst_cost_micros(prices: &[Price], prompt_tokens: i64, completion_tokens: i64) -> i64 {
    let costs = prices.iter().map(|price| price.cost_micros(prompt_tokens, completion_tokens));
    costs.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHEAP: Price = Price { prompt: 250_000, completion: 2_000_000 };
    const DEAR: Price = Price { prompt: 2_500_000, completion: 10_000_000 };

    fn month(cap: i64) -> BudgetCaps {
        BudgetCaps { month: Some(cap), person_day: None }
    }

    #[test]
    fn answer_length_is_capped_by_budget() {
        let standing = BudgetUsage { month_spent: 1_000, month_reserved: 2_000, ..BudgetUsage::default() };
        let all = month(1_000_000).allocate(&standing, 0, &[CHEAP], 400);
        let longest = CallBudget { max_completion_tokens: 8_192, cost_micros: 16_484 };
        assert_eq!(all, Ok(longest));
        let short = CallBudget { max_completion_tokens: 1_000, cost_micros: 2_100 };
        assert_eq!(month(5_100).allocate(&standing, 0, &[CHEAP], 400), Ok(short));
        assert_eq!(month(5_200).allocate(&standing, 100, &[CHEAP], 400), Ok(short));
    }

    #[test]
    fn budget_denial_names_its_cap() {
        let standing =
            BudgetUsage { month_spent: 1_000, month_reserved: 2_000, day_spent: 900, day_reserved: 0 };
        let least = CHEAP.cost_micros(400, MIN_COMPLETION_TOKENS);
        let allot = |caps: BudgetCaps| caps.allocate(&standing, 0, &[CHEAP], 400);
        assert_eq!(allot(month(999 + least)), Err(BudgetDenied::Month));
        assert_eq!(allot(month(1_000 + least)), Err(BudgetDenied::AllReserved));
        assert!(allot(month(3_000 + least)).is_ok());
        let day = |cap| BudgetCaps { month: Some(1_000_000), person_day: Some(cap) };
        assert_eq!(allot(day(899 + least)), Err(BudgetDenied::PersonDay));
        assert!(allot(day(900 + least)).is_ok());
        assert_eq!(month(1_000 + least).allocate(&standing, 1, &[CHEAP], 400), Err(BudgetDenied::Month));
    }

    proptest! {
        /// Whatever is asked, and in whatever order answers end: what is spent and held stays within the cap.
        #[test]
        fn calls_in_any_order_stay_within_cap(
            cap in 0_i64..200_000,
            calls in prop::collection::vec((0_i64..20_000, 0_i64..9_000, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut standing = BudgetUsage::default();
            let mut in_work: Vec<(i64, i64)> = Vec::new();
            for (prompt_tokens, completion_tokens, is_dear, ends_one) in calls {
                let prices = if is_dear { vec![CHEAP, DEAR] } else { vec![CHEAP] };
                if let Ok(allotment) = month(cap).allocate(&standing, 0, &prices, prompt_tokens) {
                    let said = completion_tokens.min(allotment.max_completion_tokens);
                    let cost = prices[0].cost_micros(prompt_tokens, said);
                    prop_assert!(cost <= allotment.cost_micros);
                    standing.month_reserved += allotment.cost_micros;
                    in_work.push((allotment.cost_micros, cost));
                }
                if ends_one && !in_work.is_empty() {
                    let (held, cost) = in_work.swap_remove(0);
                    standing.month_reserved -= held;
                    standing.month_spent += cost;
                }
                prop_assert!(standing.month_spent + standing.month_reserved <= cap);
            }
        }
    }
}
