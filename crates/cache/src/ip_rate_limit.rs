//! How often one address may come to a door that is open to everybody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Script;

use crate::rate::Rate;
use crate::rate_limit::to_micros;
use crate::redis_client::RedisClient;

/// Addresses that are remembered, at most. Whoever has more of them than that is not held back by counting them.
const MAX_TRACKED_ADDRESSES: usize = 10_000;

/// Of an IPv6 address the part that one customer gets; the rest is theirs to choose.
const IPV6_PREFIX_MASK: u128 = !0 << 64;

/// How often one address may come, across all replicas while Redis is there, else by this process's own count.
pub struct IpRateLimiter {
    redis: Option<RedisClient>,
    script: Script,
    scope: &'static str,
    rate: Rate,
    started_at: Instant,
    /// When an address' limit would be as good as new, by this process's own count.
    local: TatMap,
    /// Until when an address was told to stay away.
    blocked_until: TatMap,
}

impl IpRateLimiter {
    /// For one door; the counts of doors with different names are apart. With no `shared` this process counts alone.
    pub fn new(redis: Option<RedisClient>, scope: &'static str, rate: Rate) -> Self {
        let script = Script::new(include_str!("gcra.lua"));
        let (local, blocked_until) = (TatMap::default(), TatMap::default());
        Self { redis: redis, script, scope: scope, rate, started_at: Instant::now(), local, blocked_until }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// It is one too many, and is not counted: how long to stay away.
    pub async fn acquire(&self, address: IpAddr) -> Result<(), Duration> {
        let address = client_network(address);
        let wait = match self.acquire_in_redis(address).await {
            Some(wait) => wait,
            None => self.local.acquire(address, self.now(), self.rate),
        };
        if wait == 0 {
            return Ok(());
        }
        self.blocked_until.set(address, self.now(), self.now() + wait);
        Err(Duration::from_micros(wait))
    }

    /// How much longer an address is to stay away, as far as this process was told. Nothing is counted, nobody asked.
    pub fn blocked_for(&self, address: IpAddr) -> Option<Duration> {
        let wait = self.blocked_until.get(client_network(address)).saturating_sub(self.now());
        (wait > 0).then(|| Duration::from_micros(wait))
    }

    async fn acquire_in_redis(&self, address: IpAddr) -> Option<u64> {
        let mut call = self.script.key(format!("{{enablebot}}:knocks:{}:{address}", self.scope));
        call.arg(self.rate.interval_micros()).arg(self.rate.tolerance_micros());
        self.redis.as_ref()?.execute(async |redis| call.invoke_async(redis).await).await
    }

    fn now(&self) -> u64 {
        to_micros(self.started_at.elapsed())
    }
}

/// What is counted as one.
fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_PREFIX_MASK).into(),
        v4 => v4,
    }
}

/// A moment for each address. Those that have passed say nothing.
#[derive(Debug, Default)]
struct TatMap(Mutex<HashMap<IpAddr, u64>>);

impl TatMap {
    /// How long an address has to wait; 0: it was counted. The rule is that of `gcra.lua`.
    fn acquire(&self, address: IpAddr, now: u64, rate: Rate) -> u64 {
        let mark = self.get(address).max(now);
        let wait = mark.saturating_sub(rate.tolerance_micros()).saturating_sub(now);
        if wait == 0 {
            self.set(address, now, mark + rate.interval_micros());
        }
        wait
    }

    fn get(&self, address: IpAddr) -> u64 {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.get(&address).copied().unwrap_or_default()
    }

    fn set(&self, address: IpAddr, now: u64, moment: u64) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.len() >= MAX_TRACKED_ADDRESSES {
            moments.retain(|_, moment| *moment > now);
            // Looking through all of them for each that comes would be what such a crowd is after.
            if moments.len() >= MAX_TRACKED_ADDRESSES / 2 {
                moments.clear();
            }
        }
        moments.insert(address, moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_MICROS: u64 = 1_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn refused_request_is_not_counted() {
        let (book, rate) = (TatMap::default(), "3/minute".parse().unwrap());
        let one = address("203.0.113.9");
        assert_eq!(
            [0; 6].map(|now| book.acquire(one, now, rate)),
            [0, 0, 0, 20, 20, 20].map(|s| s * SECOND_MICROS)
        );
        assert_eq!(book.acquire(address("203.0.113.10"), 0, rate), 0);
        assert_eq!(book.acquire(one, 20 * SECOND_MICROS, rate), 0);
        assert_eq!(book.acquire(one, 20 * SECOND_MICROS, rate), 20 * SECOND_MICROS);
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
        let (book, rate) = (TatMap::default(), "1/hour".parse().unwrap());
        for host in 0..MAX_TRACKED_ADDRESSES as u32 * 3 {
            book.acquire(IpAddr::from(host.to_be_bytes()), 0, rate);
        }
        assert!(book.0.lock().unwrap().len() <= MAX_TRACKED_ADDRESSES);
    }

    #[tokio::test]
    async fn blocked_address_is_known_without_counting() {
        let knocks = IpRateLimiter::new(None, "test", "1/minute".parse().unwrap());
        let one = address("203.0.113.9");
        assert_eq!((knocks.blocked_for(one), knocks.acquire(one).await), (None, Ok(())));
        assert_eq!(knocks.blocked_for(one), None, "that was the last one, and it was none too many");
        assert!(knocks.acquire(one).await.is_err());
        assert!(knocks.blocked_for(one).is_some_and(|wait| wait > Duration::from_secs(50)));
    }
}
