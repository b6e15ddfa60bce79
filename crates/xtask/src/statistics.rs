//! Statistics of measured values.

/// Returns the value below which this share of the sorted values lies.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], quantile: f64) -> T {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_one_of_the_samples() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&sorted, 0.5), percentile(&sorted, 0.99), percentile(&sorted, 1.0)),
            (50, 99, 100)
        );
        assert_eq!(percentile::<u64>(&[], 0.5), 0);
    }
}
