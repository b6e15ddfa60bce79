//! `DEFAULT_MONTHLY_BUDGET`: the most that a workspace may spend in a month.

use std::str::FromStr;

/// The most that each workspace may spend in a month, as the operator set it; by default there is no ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetCeiling(Option<i64>);

/// The highest ceiling in US dollars.
const MAX_CEILING_DOLLARS: f64 = 10_000_000.0;

impl BudgetCeiling {
    /// Returns the ceiling in millionths of a dollar, if there is one.
    pub fn micros(self) -> Option<i64> {
        self.0
    }

    /// Returns the budget that applies to a workspace with this budget of its own: the lower of the two.
    pub fn cap(self, own: Option<i64>) -> Option<i64> {
        match (own, self.0) {
            (Some(own), Some(ceiling)) => Some(own.min(ceiling)),
            (own, ceiling) => own.or(ceiling),
        }
    }
}

impl FromStr for BudgetCeiling {
    type Err = String;

    /// Parses US dollars, rounded to the cent.
    fn from_str(text: &str) -> Result<Self, String> {
        let dollars: Option<f64> = text.trim().parse().ok();
        let dollars = dollars.filter(|dollars| (0.01..=MAX_CEILING_DOLLARS).contains(dollars));
        let dollars = dollars.ok_or("is not an amount in US dollars from 0.01 to 10000000")?;
        Ok(Self(Some((dollars * 100.0).round() as i64 * 10_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_budget_applies() {
        let ceiling: BudgetCeiling = " 12.50 ".parse().expect("an amount");
        assert_eq!(ceiling.micros(), Some(12_500_000));
        assert_eq!(ceiling.cap(None), Some(12_500_000), "a workspace without a budget gets it");
        assert_eq!(ceiling.cap(Some(12_500_001)), Some(12_500_000));
        assert_eq!(ceiling.cap(Some(5)), Some(5));
        assert_eq!(
            [BudgetCeiling::default().cap(Some(5)), BudgetCeiling::default().cap(None)],
            [Some(5), None]
        );
    }

    #[test]
    fn malformed_ceiling_is_rejected() {
        for wrong in ["", "0", "-1", "1e9", "NaN", "inf", "$50", "50 dollars"] {
            assert!(wrong.parse::<BudgetCeiling>().is_err(), "{wrong}");
        }
    }
}
