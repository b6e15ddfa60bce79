//! The prices of models, from `prices.csv`, in US dollars per million tokens. The longest matching name
//! prefix counts, so that dated versions cost the same as their model. The offline model of `cargo dev` has
//! the price of a small model, so that budgets can be tried out.

const PRICES_CSV: &str = include_str!("prices.csv");

const MILLION: i128 = 1_000_000;

/// The price of a model, in millionths of a dollar per million tokens. Sums are exact; only the result is
/// rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// The price of prompt tokens.
    pub prompt: i64,
    /// The price of completion tokens.
    pub completion: i64,
}

impl Price {
    /// Returns a model's price; `None` if it is not in `prices.csv`.
    pub fn for_model(model: &str) -> Option<Self> {
        // Proxies put the provider before the name: `openai/gpt-5-mini`.
        let model = model.rsplit('/').next().unwrap_or(model);
        let matches = price_rows().filter(|(name, _)| model.starts_with(name));
        matches.max_by_key(|(name, _)| name.len()).map(|(_, price)| price)
    }

    /// Returns the highest price in `prices.csv`. It stands in for an unknown price, so that a budget still
    /// holds.
    pub fn highest() -> Self {
        price_rows().fold(Self { prompt: 0, completion: 0 }, |highest, (_, price)| Self {
            prompt: highest.prompt.max(price.prompt),
            completion: highest.completion.max(price.completion),
        })
    }

    /// Returns the cost in millionths of a dollar, rounded up.
    pub fn cost_micros(&self, prompt_tokens: i64, completion_tokens: i64) -> i64 {
        let cost = self.exact_prompt_cost(prompt_tokens)
            + i128::from(completion_tokens) * i128::from(self.completion);
        i64::try_from((cost + MILLION - 1).div_euclid(MILLION)).unwrap_or(i64::MAX)
    }

    /// Returns the completion tokens that `micros` millionths of a dollar pay for after the prompt.
    pub fn completion_tokens_for(&self, micros: i64, prompt_tokens: i64) -> i64 {
        let remaining = i128::from(micros) * MILLION - self.exact_prompt_cost(prompt_tokens);
        let tokens = remaining.max(0) / i128::from(self.completion.max(1));
        i64::try_from(tokens).unwrap_or(i64::MAX)
    }

    fn exact_prompt_cost(&self, prompt_tokens: i64) -> i128 {
        i128::from(prompt_tokens) * i128::from(self.prompt)
    }
}

fn price_rows() -> impl Iterator<Item = (&'static str, Price)> {
    PRICES_CSV.lines().skip(1).filter_map(|line| {
        let mut columns = line.split(',');
        let name = columns.next()?;
        let (prompt, completion) = (parse_micros(columns.next()?)?, parse_micros(columns.next()?)?);
        Some((name, Price { prompt, completion }))
    })
}

fn parse_micros(dollars: &str) -> Option<i64> {
    dollars.parse::<f64>().ok().map(|dollars| (dollars * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cost(model: &str, prompt_tokens: i64, completion_tokens: i64) -> Option<i64> {
        Price::for_model(model).map(|price| price.cost_micros(prompt_tokens, completion_tokens))
    }

    #[test]
    fn every_csv_line_is_a_price() {
        assert_eq!(price_rows().count(), PRICES_CSV.lines().count() - 1);
        assert!(
            price_rows().all(|(name, price)| !name.is_empty() && price.prompt > 0 && price.completion > 0)
        );
    }

    #[test]
    fn longest_model_prefix_wins() {
        assert_eq!(cost("gpt-5-mini-2026-01-01", 1_000_000, 100_000), Some(450_000));
        assert_eq!(cost("openai/gpt-5", 8, 1), Some(20));
        assert_eq!(cost("offline?ttft=1", 0, 3), Some(6));
        assert_eq!(cost("llama", 5, 5), None);
    }

    #[test]
    fn costs_round_up_and_highest_is_maximum() {
        assert_eq!(cost("gpt-5-nano", 1, 0), Some(1));
        assert_eq!(cost("gpt-5-nano", 0, 0), Some(0));
        let highest = Price::highest();
        assert!(
            price_rows()
                .all(|(_, price)| price.prompt <= highest.prompt && price.completion <= highest.completion)
        );
    }

    proptest! {
        #[test]
        fn completion_tokens_fit_budget_exactly(
            micros in 0_i64..10_000_000_000, prompt_tokens in 0_i64..2_000_000, row in 0_usize..11,
        ) {
            let price = price_rows().nth(row).map_or_else(Price::highest, |(_, price)| price);
            let tokens = price.completion_tokens_for(micros, prompt_tokens);
            let pays_for_prompt = price.cost_micros(prompt_tokens, 0) <= micros;
            prop_assert!(tokens == 0 || price.cost_micros(prompt_tokens, tokens) <= micros);
            prop_assert!(!pays_for_prompt || price.cost_micros(prompt_tokens, tokens + 1) > micros);
        }
    }
}
