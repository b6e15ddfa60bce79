//! Any `X-Forwarded-For` and `TRUSTED_PROXIES`: no panic, and without a trusted proxy the connection's own
//! address.
#![no_main]

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap, HeaderValue};
use service::TrustedProxies;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &str)| {
    let (forwarded, trusted) = input;
    let _ = trusted.parse::<TrustedProxies>();
    let Ok(value) = HeaderValue::from_bytes(forwarded) else { return };
    let headers = HeaderMap::from_iter([(axum::http::HeaderName::from_static("x-forwarded-for"), value)]);
    let all_trusted: TrustedProxies = "0.0.0.0/0,::/0".parse().expect("networks");
    let _ = all_trusted.resolve_client_ip(&Extensions::new(), &headers);
    let none_trusted: TrustedProxies = "192.0.2.1".parse().expect("an address");
    assert_eq!(none_trusted.resolve_client_ip(&Extensions::new(), &headers), IpAddr::from([0, 0, 0, 0]));
});
