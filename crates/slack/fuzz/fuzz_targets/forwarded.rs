//! Whatever stands in `X-Forwarded-For` and in `TRUSTED_PROXIES`: no panic, and where nobody is trusted the connection's own
//! address.
#![no_main]

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap, HeaderValue};
use service::TrustedProxies;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &str)| {
    let (told, trusted) = input;
    let _ = trusted.parse::<TrustedProxies>();
    let Ok(value) = HeaderValue::from_bytes(told) else { return };
    let headers = HeaderMap::from_iter([(axum::http::HeaderName::from_static("x-forwarded-for"), value)]);
    let everybody: TrustedProxies = "0.0.0.0/0,::/0".parse().expect("networks");
    let _ = everybody.client(&Extensions::new(), &headers);
    let nobody: TrustedProxies = "192.0.2.1".parse().expect("an address");
    assert_eq!(nobody.client(&Extensions::new(), &headers), IpAddr::from([0, 0, 0, 0]));
});
