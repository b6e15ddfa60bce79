//! Keys that are none: an address that sends many is not looked up any more. Programs that share an address with somebody
//! who guesses go on, as long as their own keys were good of late.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use cache::Knocks;
use service::TrustedProxies;

use super::problem::{Kind, Problem, seconds};

/// Good keys that are remembered, at most; then it begins anew.
const CAPACITY: usize = 10_000;

/// Who sends keys that are none.
pub(crate) struct Guesses {
    trusted_proxies: TrustedProxies,
    knocks: Knocks,
    /// Of keys that were good no more than this process' own hash of them.
    good: Mutex<HashSet<u64>>,
    hash: RandomState,
}

impl Guesses {
    /// Counted by `knocks`, whose addresses these proxies tell.
    pub(crate) fn new(trusted_proxies: TrustedProxies, knocks: Knocks) -> Self {
        Self { trusted_proxies, knocks, good: Mutex::default(), hash: RandomState::new() }
    }

    /// Where a request comes from.
    pub(super) fn address(&self, parts: &Parts) -> IpAddr {
        self.trusted_proxies.client(&parts.extensions, &parts.headers)
    }

    /// Refuses to look up one more key of an address that has sent too many.
    pub(super) fn admit(&self, address: IpAddr, key: &str) -> Result<(), Problem> {
        match self.knocks.wait(address) {
            Some(wait) if !self.good().contains(&self.hash.hash_one(key)) => Err(refusal(wait)),
            _ => Ok(()),
        }
    }

    /// Notes a key that was good.
    pub(super) fn remember(&self, key: &str) {
        let mut good = self.good();
        if good.len() >= CAPACITY {
            good.clear();
        }
        good.insert(self.hash.hash_one(key));
    }

    /// Counts one that was none; what is to be answered.
    pub(super) async fn count(&self, address: IpAddr, detail: &'static str) -> Problem {
        match self.knocks.count(address).await {
            Ok(()) => Problem::new(Kind::NoKey, detail),
            Err(wait) => refusal(wait),
        }
    }

    fn good(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(wait: Duration) -> Problem {
    let seconds = seconds(wait);
    let detail = format!(
        "Too many wrong keys came from your address. Ask again in {seconds} seconds, with a good one."
    );
    Problem::new(Kind::OverLimit, detail).after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_guesses_is_held_back_and_a_known_key_beside_them_is_not() {
        let knocks = Knocks::new(None, "test", "2/minute".parse().expect("a rate"));
        let guesses = Guesses::new(TrustedProxies::default(), knocks);
        let (one, other) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([203, 0, 113, 10]));
        guesses.remember("good");
        for status in [401, 401, 429] {
            assert!(guesses.admit(one, "guess").is_ok());
            assert_eq!(guesses.count(one, "None.").await.status(), status);
        }
        assert!(guesses.admit(one, "guess").is_err() && guesses.admit(one, "good").is_ok());
        assert!(guesses.admit(other, "guess").is_ok());
    }
}
