//! A request's headers and body, split at the first two zero bytes: a random signature always fails, a
//! correct one passes.
#![no_main]

use slack::SigningSecret;

libfuzzer_sys::fuzz_target!(|request: &[u8]| {
    let mut parts = request.splitn(3, |byte| *byte == 0);
    let mut header = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (timestamp, signature) = (header(), header());
    let body = parts.next().unwrap_or_default();
    let now = timestamp.and_then(|timestamp| timestamp.parse().ok()).unwrap_or(1_531_420_618);
    let secret = SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5".into());
    assert!(secret.verify(timestamp, signature, body, now).is_err());
    let signed = secret.sign(now, body);
    assert!(secret.verify(Some(&now.to_string()), Some(&signed), body, now).is_ok());
});
