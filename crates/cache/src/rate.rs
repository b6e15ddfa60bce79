//! Rates such as `100/minute`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::Quota;

/// A number of requests in a period: a burst of that many at once, then one per `period / count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    period: Duration,
}

const UNITS: [(&str, u64); 4] = [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)];

/// The largest count of a rate.
const MAX_COUNT: u32 = 1_000_000;

impl Rate {
    /// Returns the time between two requests once the burst is used up, in microseconds, as Redis counts.
    pub(crate) fn interval_micros(self) -> u64 {
        let period = u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX);
        (period / u64::from(self.count.get())).max(1)
    }

    /// Returns how early a request may come, in microseconds. This tolerance is what allows the burst.
    pub(crate) fn tolerance_micros(self) -> u64 {
        self.interval_micros() * u64::from(self.count.get() - 1)
    }

    /// Returns the same rate for `governor`.
    pub(crate) fn quota(self) -> Quota {
        // Only an interval of zero has no quota, and no rate has one.
        Quota::with_period(Duration::from_micros(self.interval_micros()))
            .unwrap_or(Quota::per_second(self.count))
            .allow_burst(self.count)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || "is not a number above 0, a slash, and second, minute, hour or day".to_owned();
        let (count, unit) = text.trim().split_once('/').ok_or_else(malformed)?;
        let count: NonZeroU32 = count.trim().parse().map_err(|_| malformed())?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(malformed)?;
        if count.get() > MAX_COUNT {
            return Err(malformed());
        }
        Ok(Self { count, period: Duration::from_secs(seconds) })
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
