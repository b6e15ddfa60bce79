//! How many in which time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// So many in a period: at first all of them at once, then one each time its part of the period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    period: Duration,
}

const UNITS: [(&str, u64); 4] = [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)];

impl Rate {
    /// Between two, once the first are used up; in microseconds, as Redis counts.
    pub(crate) fn interval_micros(self) -> u64 {
        let period = u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX);
        (period / u64::from(self.count)).max(1)
    }

    /// By how much one may be early, in microseconds: that makes the first ones come at once.
    pub(crate) fn tolerance_micros(self) -> u64 {
        self.interval_micros() * u64::from(self.count - 1)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not a number above 0, a slash, and second, minute, hour or day".to_owned();
        let (count, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let count = count.trim().parse().ok().filter(|count| (1..=1_000_000).contains(count));
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        Ok(Self { count: count.ok_or_else(wrong)?, period: Duration::from_secs(seconds) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs();
        let unit = UNITS.into_iter().find(|(_, unit)| *unit == seconds).map_or("period", |(name, _)| name);
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_round_trips_through_text() {
        for text in ["100/minute", "1/second", "10000/hour", "5/day"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!(" 3 / minute ".parse::<Rate>().unwrap().interval_micros(), 20_000_000);
    }

    #[test]
    fn malformed_rate_is_rejected() {
        for text in
            ["", "100", "0/minute", "-1/minute", "1/fortnight", "1000001/second", "many/minute", "1/2/day"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
