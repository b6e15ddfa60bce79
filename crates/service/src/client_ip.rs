//! The client's address: the connection's peer or, behind a trusted proxy, the address that the proxy
//! reports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

use crate::settings::Environment;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The most entries of `X-Forwarded-For` that are read.
const MAX_FORWARDED_HOPS: usize = 32;

/// The remote address of a connection, an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Set once the warning about an untrusted header has been logged.
    has_warned: AtomicBool,
}

impl Default for TrustedProxies {
    /// Trusts loopback only: any other sender may have made the header up.
    fn default() -> Self {
        let loopback = IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        Self::from_networks(vec![loopback, IpAddr::from(Ipv6Addr::LOCALHOST).into()])
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(parse_network).collect::<Result<_, _>>().map(Self::from_networks)
    }
}

impl TrustedProxies {
    fn from_networks(networks: Vec<IpNet>) -> Self {
        Self { networks, has_warned: AtomicBool::new(false) }
    }

    /// Reads `TRUSTED_PROXIES`. Problems are added to `env`.
    pub fn read(env: &mut Environment) -> Self {
        env.optional("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8", str::parse).unwrap_or_default()
    }

    /// Returns the client's address: the connection's peer or, if that is trusted, the nearest untrusted
    /// address in `X-Forwarded-For`.
    pub fn resolve_client_ip(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        let unknown = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let peer = extensions.get::<Peer>().map_or(unknown, |peer| peer.0.to_canonical());
        if !self.is_trusted(peer) {
            self.warn_once(peer, headers);
            return peer;
        }
        let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
        self.resolve_forwarded(peer, &hops)
    }

    fn resolve_forwarded(&self, peer: IpAddr, hops: &[&str]) -> IpAddr {
        // Each proxy appends the address it received the request from. Entries before the nearest untrusted
        // address are that client's own claim.
        let mut client = peer;
        for hop in hops.iter().rev().take(MAX_FORWARDED_HOPS) {
            let Some(address) = parse_hop(hop) else { break };
            client = address;
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Logs once that a header was ignored. An unlisted proxy makes all its clients look like one address.
    fn warn_once(&self, peer: IpAddr, headers: &HeaderMap) {
        if headers.contains_key(FORWARDED_FOR) && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("X-Forwarded-For from {peer} ignored; list the proxy in TRUSTED_PROXIES");
        }
    }
}

/// Parses an address, with or without a port, as some proxies write one.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Parses an address or a network such as `10.0.0.0/8`.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("contains {text}, which is not an address or a network like 10.0.0.0/8"))
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
