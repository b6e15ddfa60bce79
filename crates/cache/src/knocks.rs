//! How often one address may come to a door that is open to everybody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Script;

use crate::limits::micros;
use crate::rate::Rate;
use crate::shared::Shared;

/// Addresses that are remembered, at most. Whoever has more of them than that is not held back by counting them.
const CAPACITY: usize = 10_000;

/// Of an IPv6 address the part that one customer gets; the rest is theirs to choose.
const V6_PREFIX: u128 = !0 << 64;

/// How often one address may come, across all replicas while Redis is there, else by this process's own count.
pub struct Knocks {
    shared: Option<Shared>,
    script: Script,
    door: &'static str,
    rate: Rate,
    begun: Instant,
    /// When an address' limit would be as good as new, by this process's own count.
    own: Book,
    /// Until when an address was told to stay away.
    refused: Book,
}

impl Knocks {
    /// For one door; the counts of doors with different names are apart. With no `shared` this process counts alone.
    pub fn new(shared: Option<Shared>, door: &'static str, rate: Rate) -> Self {
        let script = Script::new(include_str!("knock.lua"));
        let (own, refused) = (Book::default(), Book::default());
        Self { shared, script, door, rate, begun: Instant::now(), own, refused }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// It is one too many, and is not counted: how long to stay away.
    pub async fn count(&self, address: IpAddr) -> Result<(), Duration> {
        let address = unit(address);
        let wait = match self.ask_shared(address).await {
            Some(wait) => wait,
            None => self.own.count(address, self.now(), self.rate),
        };
        if wait == 0 {
            return Ok(());
        }
        self.refused.set(address, self.now(), self.now() + wait);
        Err(Duration::from_micros(wait))
    }

    /// How much longer an address is to stay away, as far as this process was told. Nothing is counted, nobody asked.
    pub fn wait(&self, address: IpAddr) -> Option<Duration> {
        let wait = self.refused.get(unit(address)).saturating_sub(self.now());
        (wait > 0).then(|| Duration::from_micros(wait))
    }

    async fn ask_shared(&self, address: IpAddr) -> Option<u64> {
        let mut call = self.script.key(format!("{{enablebot}}:knocks:{}:{address}", self.door));
        call.arg(self.rate.interval()).arg(self.rate.tolerance());
        self.shared.as_ref()?.ask(async |redis| call.invoke_async(redis).await).await
    }

    fn now(&self) -> u64 {
        micros(self.begun.elapsed())
    }
}

/// What is counted as one.
fn unit(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & V6_PREFIX).into(),
        v4 => v4,
    }
}

/// A moment for each address. Those that have passed say nothing.
#[derive(Debug, Default)]
struct Book(Mutex<HashMap<IpAddr, u64>>);

impl Book {
    /// How long an address has to wait; 0: it was counted. The rule is that of `knock.lua`.
    fn count(&self, address: IpAddr, now: u64, rate: Rate) -> u64 {
        let mark = self.get(address).max(now);
        let wait = mark.saturating_sub(rate.tolerance()).saturating_sub(now);
        if wait == 0 {
            self.set(address, now, mark + rate.interval());
        }
        wait
    }

    fn get(&self, address: IpAddr) -> u64 {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.get(&address).copied().unwrap_or_default()
    }

    fn set(&self, address: IpAddr, now: u64, moment: u64) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.len() >= CAPACITY {
            moments.retain(|_, moment| *moment > now);
            // Looking through all of them for each that comes would be what such a crowd is after.
            if moments.len() >= CAPACITY / 2 {
                moments.clear();
            }
        }
        moments.insert(address, moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_of_the_whole_limit_and_who_is_refused_is_not_counted() {
        let (book, rate) = (Book::default(), "3/minute".parse().unwrap());
        let one = address("203.0.113.9");
        assert_eq!([0; 6].map(|now| book.count(one, now, rate)), [0, 0, 0, 20, 20, 20].map(|s| s * SECOND));
        assert_eq!(book.count(address("203.0.113.10"), 0, rate), 0);
        assert_eq!(book.count(one, 20 * SECOND, rate), 0);
        assert_eq!(book.count(one, 20 * SECOND, rate), 20 * SECOND);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_so_does_ipv4_in_its_disguise() {
        assert_eq!(unit(address("2001:db8:1:2:3::4")), unit(address("2001:db8:1:2:ffff::1")));
        assert_ne!(unit(address("2001:db8:1:2::1")), unit(address("2001:db8:1:3::1")));
        assert_eq!(unit(address("::ffff:203.0.113.9")), address("203.0.113.9"));
    }

    #[test]
    fn however_many_come_no_more_are_remembered() {
        let (book, rate) = (Book::default(), "1/hour".parse().unwrap());
        for host in 0..CAPACITY as u32 * 3 {
            book.count(IpAddr::from(host.to_be_bytes()), 0, rate);
        }
        assert!(book.0.lock().unwrap().len() <= CAPACITY);
    }

    #[tokio::test]
    async fn who_was_refused_is_known_without_counting() {
        let knocks = Knocks::new(None, "test", "1/minute".parse().unwrap());
        let one = address("203.0.113.9");
        assert_eq!((knocks.wait(one), knocks.count(one).await), (None, Ok(())));
        assert_eq!(knocks.wait(one), None, "that was the last one, and it was none too many");
        assert!(knocks.count(one).await.is_err());
        assert!(knocks.wait(one).is_some_and(|wait| wait > Duration::from_secs(50)));
    }
}
