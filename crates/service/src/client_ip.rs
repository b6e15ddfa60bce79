//! Who is at the other end: the connection's address, or behind a proxy that is trusted the address that it tells.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{Extensions, HeaderMap};

use crate::settings::Environment;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies in a row that are looked behind.
const MAX_FORWARDED_HOPS: usize = 32;

/// Where a connection comes from; every request carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The addresses whose `X-Forwarded-For` is believed.
#[derive(Debug)]
pub struct TrustedProxies {
    networks: Vec<IpNetwork>,
    /// Whether it was told that a header is not believed.
    has_warned: AtomicBool,
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IpNetwork {
    address: IpAddr,
    bits: u8,
}

impl Default for TrustedProxies {
    /// This machine's own: whoever else sends the header may have made it up.
    fn default() -> Self {
        let own = [(IpAddr::from([127, 0, 0, 0]), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        Self::from_networks(own.map(|(address, bits)| IpNetwork { address, bits }).into())
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self::from_networks)
    }
}

impl TrustedProxies {
    fn from_networks(networks: Vec<IpNetwork>) -> Self {
        Self { networks, has_warned: AtomicBool::new(false) }
    }

    /// `TRUSTED_PROXIES`; what is wrong with it is noted in `env`.
    pub fn read(env: &mut Environment) -> Self {
        env.optional("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8", str::parse).unwrap_or_default()
    }

    /// Whom a request is from: the connection's other end, or where that is trusted the last one before it that is not.
    pub fn resolve_client_ip(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let peer = extensions.get::<Peer>().map_or(unknown, |peer| peer.0.to_canonical());
        if !self.is_trusted(peer) {
            self.warn_once(peer, headers);
            return peer;
        }
        let told = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let told: Vec<&str> = told.flat_map(|value| value.split(',')).collect();
        self.resolve_forwarded(peer, &told)
    }

    /// Each proxy wrote down whom it heard from, the nearest last. What stands before the first stranger is their own word.
    fn resolve_forwarded(&self, peer: IpAddr, forwarded: &[&str]) -> IpAddr {
        let mut client = peer;
        for hop in forwarded.iter().rev().take(MAX_FORWARDED_HOPS) {
            let Some(address) = parse_hop(hop) else { break };
            client = address;
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// An operator whose proxy is not named sees all people as one.
    fn warn_once(&self, peer: IpAddr, headers: &HeaderMap) {
        if headers.contains_key(FORWARDED_FOR) && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "X-Forwarded-For from {peer} is not believed; a proxy is named in TRUSTED_PROXIES"
            );
        }
    }
}

/// With a port too, as some proxies write it.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let read = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    read.map(|address: IpAddr| address.to_canonical())
}

impl FromStr for IpNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("has {text}, which is neither an address nor a network like 10.0.0.0/8");
        let (address, bits) = text.split_once('/').map_or((text, None), |(left, right)| (left, Some(right)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

impl IpNetwork {
    fn contains(self, address: IpAddr) -> bool {
        let shared = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        shared >= self.bits.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let proxies: TrustedProxies = trusted.parse().unwrap();
        let (mut extensions, mut headers) = (Extensions::new(), HeaderMap::new());
        extensions.insert(Peer(peer.parse().unwrap()));
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        proxies.resolve_client_ip(&extensions, &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let cases: [(&str, &[&str], &str); 10] = [
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.2.3.4"], "198.51.100.1"),
            ("10.0.0.1", &["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
            ("10.0.0.1", &["1.1.1.1, made up, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(client("10.0.0.0/8,::1", peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(client("", "127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
    }

    #[test]
    fn loopback_is_trusted_by_default() {
        let own = TrustedProxies::default();
        let trusted = |address: &str| own.is_trusted(address.parse().unwrap());
        assert!(trusted("127.0.0.1") && trusted("127.8.9.1") && trusted("::1"));
        assert!(!trusted("10.0.0.1") && !trusted("::2") && !trusted("0.0.0.0"));
    }

    #[test]
    fn malformed_networks_are_rejected() {
        let all: TrustedProxies = "0.0.0.0/0, ::/0".parse().unwrap();
        assert!(
            all.is_trusted("203.0.113.9".parse().unwrap()) && all.is_trusted("2001:db8::1".parse().unwrap())
        );
        for wrong in ["10.0.0.0/33", "::/129", "nginx", "10.0.0.0/", "10.0.0/8", "10.0.0.1/-1"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }
}
