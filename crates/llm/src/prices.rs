//! What models cost: `prices.csv`, in US dollars for a million tokens. The longest name that a model's begins with
//! counts, so that dated versions cost what their model does. The offline model of `cargo dev` is priced like a small
//! one, so that budgets can be tried.

const PRICES: &str = include_str!("prices.csv");

/// What an answer cost, in millionths of a dollar; `None` where the model has no price here.
pub fn cost_micros(model: &str, prompt_tokens: i64, completion_tokens: i64) -> Option<i64> {
    let (prompt, completion) = find(model)?;
    // Dollars for a million tokens are millionths of a dollar for one.
    Some((prompt_tokens as f64 * prompt + completion_tokens as f64 * completion).ceil() as i64)
}

fn find(model: &str) -> Option<(f64, f64)> {
    // Servers that pass on to others put those before the name: `openai/gpt-5-mini`.
    let model = model.rsplit('/').next().unwrap_or(model);
    let fitting = rows().filter(|(name, ..)| model.starts_with(name));
    fitting.max_by_key(|(name, ..)| name.len()).map(|(_, prompt, completion)| (prompt, completion))
}

fn rows() -> impl Iterator<Item = (&'static str, f64, f64)> {
    PRICES.lines().skip(1).filter_map(|line| {
        let mut columns = line.split(',');
        Some((columns.next()?, columns.next()?.parse().ok()?, columns.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_file_is_a_price() {
        assert_eq!(rows().count(), PRICES.lines().count() - 1);
        assert!(
            rows().all(|(name, prompt, completion)| !name.is_empty() && prompt > 0.0 && completion > 0.0)
        );
    }

    #[test]
    fn the_longest_name_counts() {
        assert_eq!(cost_micros("gpt-5-mini-2026-01-01", 1_000_000, 100_000), Some(450_000));
        assert_eq!(cost_micros("openai/gpt-5", 8, 1), Some(20));
        assert_eq!(cost_micros("offline?ttft=1", 0, 3), Some(6));
        assert_eq!(cost_micros("llama", 5, 5), None);
    }
}
