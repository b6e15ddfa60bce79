//! Slack's rate limits, per method and team (<https://docs.slack.dev/apis/web-api/rate-limits>).

use std::collections::HashMap;
use std::time::Instant;

/// Rate-limit tiers of methods.
#[derive(Clone, Copy)]
pub(crate) enum Tier {
    /// 20 a minute.
    Two,
    /// 50 a minute.
    Three,
    /// 100 a minute.
    Four,
    /// `chat.postMessage`: one a second and channel, with a small burst.
    Post,
    /// History of an app that is not in the Marketplace: one a minute.
    UnlistedHistory,
    /// No simulated limit.
    Unlimited,
}

impl Tier {
    /// Returns the burst and the refill rate per second.
    fn rate(self) -> Option<(f64, f64)> {
        let per_minute = |calls: f64| Some((calls, calls / 60.0));
        match self {
            Self::Two => per_minute(20.0),
            Self::Three => per_minute(50.0),
            Self::Four => per_minute(100.0),
            Self::Post => Some((5.0, 1.0)),
            Self::UnlistedHistory => per_minute(1.0),
            Self::Unlimited => None,
        }
    }
}

/// Token buckets by team and method, and by channel where Slack counts by channel.
#[derive(Default)]
pub(crate) struct MethodRateLimiter(HashMap<(String, &'static str, String), (f64, Instant)>);

impl MethodRateLimiter {
    /// Takes one call from the bucket, or returns the seconds until one is available.
    pub(crate) fn acquire(
        &mut self,
        tier: Tier,
        team: &str,
        method: &'static str,
        channel: &str,
    ) -> Result<(), u64> {
        let Some((burst, per_second)) = tier.rate() else { return Ok(()) };
        let now = Instant::now();
        let key = (team.to_owned(), method, channel.to_owned());
        let (calls, since) = self.0.entry(key).or_insert((burst, now));
        *calls = (*calls + now.duration_since(*since).as_secs_f64() * per_second).min(burst);
        *since = now;
        if *calls < 1.0 {
            return Err(((1.0 - *calls) / per_second).ceil() as u64);
        }
        *calls -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limit_is_per_team_and_method() {
        let mut limits = MethodRateLimiter::default();
        for _ in 0..20 {
            assert_eq!(limits.acquire(Tier::Two, "T1", "chat.startStream", ""), Ok(()));
        }
        assert_eq!(limits.acquire(Tier::Two, "T1", "chat.startStream", ""), Err(3));
        assert_eq!(limits.acquire(Tier::Two, "T2", "chat.startStream", ""), Ok(()));
        assert_eq!(limits.acquire(Tier::Two, "T1", "chat.stopStream", ""), Ok(()));
    }
}
