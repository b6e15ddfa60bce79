//! Keys that are none: an address that sends many is not looked up any more. Programs that share an address with somebody
//! who guesses go on, as long as their own keys were good of late.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use cache::IpRateLimiter;
use service::TrustedProxies;

use super::problem::{Problem, ProblemKind, ceil_seconds};

/// Good keys that are remembered, at most; then it begins anew.
const MAX_GOOD_KEYS: usize = 10_000;

/// Who sends keys that are none.
pub(crate) struct AuthThrottle {
    trusted_proxies: TrustedProxies,
    rate_limiter: IpRateLimiter,
    /// Of keys that were good no more than this process' own hash of them.
    good_keys: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl AuthThrottle {
    /// Counted by `knocks`, whose addresses these proxies tell.
    pub(crate) fn new(trusted_proxies: TrustedProxies, rate_limiter: IpRateLimiter) -> Self {
        Self { trusted_proxies, rate_limiter, good_keys: Mutex::default(), hasher: RandomState::new() }
    }

    /// Where a request comes from.
    pub(super) fn client_ip(&self, parts: &Parts) -> IpAddr {
        self.trusted_proxies.resolve_client_ip(&parts.extensions, &parts.headers)
    }

    /// Refuses to look up one more key of an address that has sent too many.
    pub(super) fn check_key(&self, address: IpAddr, key: &str) -> Result<(), Problem> {
        match self.rate_limiter.blocked_for(address) {
            Some(wait) if !self.lock_good_keys().contains(&self.hasher.hash_one(key)) => {
                Err(throttled_problem(wait))
            }
            _ => Ok(()),
        }
    }

    /// Notes a key that was good.
    pub(super) fn remember_good_key(&self, key: &str) {
        let mut good = self.lock_good_keys();
        if good.len() >= MAX_GOOD_KEYS {
            good.clear();
        }
        good.insert(self.hasher.hash_one(key));
    }

    /// Counts one that was none; what is to be answered.
    pub(super) async fn record_bad_key(&self, address: IpAddr, detail: &'static str) -> Problem {
        match self.rate_limiter.acquire(address).await {
            Ok(()) => Problem::new(ProblemKind::NoKey, detail),
            Err(wait) => throttled_problem(wait),
        }
    }

    fn lock_good_keys(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.good_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn throttled_problem(wait: Duration) -> Problem {
    let seconds = ceil_seconds(wait);
    let detail = format!(
        "Too many wrong keys came from your address. Ask again in {seconds} seconds, with a good one."
    );
    Problem::new(ProblemKind::OverLimit, detail).with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn good_key_passes_throttled_address() {
        let knocks = IpRateLimiter::new(None, "test", "2/minute".parse().expect("a rate"));
        let guesses = AuthThrottle::new(TrustedProxies::default(), knocks);
        let (one, other) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([203, 0, 113, 10]));
        guesses.remember_good_key("good");
        for status in [401, 401, 429] {
            assert!(guesses.check_key(one, "guess").is_ok());
            assert_eq!(guesses.record_bad_key(one, "None.").await.status(), status);
        }
        assert!(guesses.check_key(one, "guess").is_err() && guesses.check_key(one, "good").is_ok());
        assert!(guesses.check_key(other, "guess").is_ok());
    }
}
