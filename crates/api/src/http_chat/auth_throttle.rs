//! Limits invalid API keys by address. An address that sends too many is refused without a query, except for
//! keys that were valid recently: a client that shares the address keeps working.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use cache::IpRateLimiter;
use service::TrustedProxies;

use super::problem::{Problem, ceil_seconds};
use super::problem_kind::ProblemKind;

/// Valid keys that are remembered; beyond it the list is cleared.
const MAX_GOOD_KEYS: usize = 10_000;

/// The addresses that send invalid keys.
pub(crate) struct AuthThrottle {
    trusted_proxies: TrustedProxies,
    rate_limiter: IpRateLimiter,
    /// Hashes of valid keys, with this process's own random seed.
    good_keys: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl AuthThrottle {
    /// Creates a throttle. The proxies are trusted to name the client's address.
    pub(crate) fn new(trusted_proxies: TrustedProxies, rate_limiter: IpRateLimiter) -> Self {
        Self { trusted_proxies, rate_limiter, good_keys: Mutex::default(), hasher: RandomState::new() }
    }

    /// Returns the client's address.
    pub(super) fn client_ip(&self, parts: &Parts) -> IpAddr {
        self.trusted_proxies.resolve_client_ip(&parts.extensions, &parts.headers)
    }

    /// Refuses the key if the address has sent too many invalid ones.
    pub(super) fn check_key(&self, address: IpAddr, key: &str) -> Result<(), Problem> {
        match self.rate_limiter.blocked_for(address) {
            Some(wait) if !self.lock_good_keys().contains(&self.hasher.hash_one(key)) => {
                Err(throttled_problem(wait))
            }
            _ => Ok(()),
        }
    }

    /// Remembers a valid key.
    pub(super) fn remember_good_key(&self, key: &str) {
        let mut good = self.lock_good_keys();
        if good.len() >= MAX_GOOD_KEYS {
            good.clear();
        }
        good.insert(self.hasher.hash_one(key));
    }

    /// Counts an invalid key, and returns the problem to answer with.
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
        "Too many invalid keys came from your address. Try again in {seconds} seconds, with a valid one."
    );
    Problem::new(ProblemKind::OverLimit, detail).with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn good_key_passes_throttled_address() {
        let rate_limiter = IpRateLimiter::new(None, "test", "2/minute".parse().expect("a rate"));
        let throttle = AuthThrottle::new(TrustedProxies::default(), rate_limiter);
        let (one, other) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([203, 0, 113, 10]));
        throttle.remember_good_key("valid");
        for status in [401, 401, 429] {
            assert!(throttle.check_key(one, "invalid").is_ok());
            assert_eq!(throttle.record_bad_key(one, "None.").await.status(), status);
        }
        assert!(throttle.check_key(one, "invalid").is_err() && throttle.check_key(one, "valid").is_ok());
        assert!(throttle.check_key(other, "invalid").is_ok());
    }
}
