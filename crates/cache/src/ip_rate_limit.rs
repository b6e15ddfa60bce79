//! Rate limits for client addresses, for endpoints that need no sign-in.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::Quota;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use redis::Script;

use crate::rate::Rate;
use crate::redis_client::RedisClient;

/// The most addresses that one process tracks.
const MAX_TRACKED_ADDRESSES: usize = 10_000;

/// The /64 prefix of an IPv6 address. A provider gives each customer at least one such network.
const IPV6_PREFIX_MASK: u128 = !0 << 64;

/// Limits requests per client address: across all replicas while Redis is available, else in this process.
pub struct IpRateLimiter {
    redis: Option<RedisClient>,
    script: Script,
    scope: &'static str,
    rate: Rate,
    local: LocalIpLimiter<DefaultClock>,
    /// The end of the wait that each refused address was given.
    blocked_until: Cache<IpAddr, Instant>,
}

impl IpRateLimiter {
    /// Creates a limiter. Limiters with different scopes count separately; without `redis` this process
    /// counts alone.
    pub fn new(redis: Option<RedisClient>, scope: &'static str, rate: Rate) -> Self {
        let blocked_until = Cache::builder()
            .max_capacity(MAX_TRACKED_ADDRESSES as u64)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            redis,
            script: Script::new(include_str!("gcra.lua")),
            scope,
            rate,
            local: LocalIpLimiter::new(rate.quota(), DefaultClock::default()),
            blocked_until,
        }
    }

    /// Counts one request of `address`.
    ///
    /// # Errors
    /// The address is over its limit. The error is the time to wait; the refused request is not counted.
    pub async fn acquire(&self, address: IpAddr) -> Result<(), Duration> {
        let network = client_network(address);
        let result = match self.acquire_in_redis(network).await {
            Some(0) => Ok(()),
            Some(micros) => Err(Duration::from_micros(micros)),
            None => self.local.acquire(network),
        };
        result.inspect_err(|wait| self.blocked_until.insert(network, Instant::now() + *wait))
    }

    /// Returns how much longer an address has to wait, as far as this process knows. Counts nothing, does no
    /// I/O.
    pub fn blocked_for(&self, address: IpAddr) -> Option<Duration> {
        let until = self.blocked_until.get(&client_network(address))?;
        until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Returns the wait in microseconds, 0 if the request was counted, `None` without Redis.
    async fn acquire_in_redis(&self, network: IpAddr) -> Option<u64> {
        let mut call = self.script.key(format!("{{enablebot}}:ip:{}:{network}", self.scope));
        call.arg(self.rate.interval_micros()).arg(self.rate.tolerance_micros());
        self.redis.as_ref()?.execute(async |redis| call.invoke_async(redis).await).await
    }
}

/// Returns the network that is counted as one client.
fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_PREFIX_MASK).into(),
        v4 => v4,
    }
}

type KeyedLimiter<C> =
    governor::RateLimiter<IpAddr, HashMapStateStore<IpAddr>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts requests per address in this process, with a bounded number of addresses.
struct LocalIpLimiter<C: Clock> {
    quota: Quota,
    clock: C,
    limiter: Mutex<KeyedLimiter<C>>,
}

impl<C: Clock + Clone> LocalIpLimiter<C> {
    fn new(quota: Quota, clock: C) -> Self {
        let limiter = Mutex::new(KeyedLimiter::new(quota, HashMapStateStore::default(), clock.clone()));
        Self { quota, clock, limiter }
    }

    fn acquire(&self, network: IpAddr) -> Result<(), Duration> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.len() >= MAX_TRACKED_ADDRESSES {
            limiter.retain_recent();
            // An attacker with many addresses must not make each request scan all of them.
            if limiter.len() >= MAX_TRACKED_ADDRESSES / 2 {
                *limiter = KeyedLimiter::new(self.quota, HashMapStateStore::default(), self.clock.clone());
            }
        }
        limiter.check_key(&network).map_err(|refused| refused.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn local_limiter(rate: &str) -> (LocalIpLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let (rate, clock): (Rate, _) = (rate.parse().unwrap(), FakeRelativeClock::default());
        (LocalIpLimiter::new(rate.quota(), clock.clone()), clock)
    }

    #[test]
    fn refused_request_is_not_counted() {
        let (limiter, clock) = local_limiter("3/minute");
        let (one, wait) = (address("203.0.113.9"), Err(Duration::from_secs(20)));
        let results = [0; 6].map(|_| limiter.acquire(one));
        assert_eq!(results, [Ok(()), Ok(()), Ok(()), wait, wait, wait]);
        assert_eq!(limiter.acquire(address("203.0.113.10")), Ok(()));
        clock.advance(Duration::from_secs(20));
        assert_eq!(limiter.acquire(one), Ok(()));
        assert_eq!(limiter.acquire(one), wait);
    }

    #[test]
    fn ipv6_network_counts_as_one_address() {
        assert_eq!(
            client_network(address("2001:db8:1:2:3::4")),
            client_network(address("2001:db8:1:2:ffff::1"))
        );
        assert_ne!(client_network(address("2001:db8:1:2::1")), client_network(address("2001:db8:1:3::1")));
        assert_eq!(client_network(address("::ffff:203.0.113.9")), address("203.0.113.9"));
    }

    #[test]
    fn tracked_addresses_are_bounded() {
        let (limiter, _) = local_limiter("1/hour");
        for host in 0..MAX_TRACKED_ADDRESSES as u32 * 3 {
            assert_eq!(limiter.acquire(IpAddr::from(host.to_be_bytes())), Ok(()));
        }
        assert!(limiter.limiter.lock().unwrap().len() <= MAX_TRACKED_ADDRESSES);
    }

    #[tokio::test]
    async fn blocked_address_is_known_without_counting() {
        let limiter = IpRateLimiter::new(None, "test", "1/minute".parse().unwrap());
        let one = address("203.0.113.9");
        assert_eq!((limiter.blocked_for(one), limiter.acquire(one).await), (None, Ok(())));
        assert_eq!(limiter.blocked_for(one), None, "the last allowed request does not block");
        assert!(limiter.acquire(one).await.is_err());
        assert!(limiter.blocked_for(one).is_some_and(|wait| wait > Duration::from_secs(50)));
    }
}
