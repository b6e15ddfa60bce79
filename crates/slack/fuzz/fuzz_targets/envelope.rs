//! Bodies of `/slack/events`: no panic, and only JSON is accepted.
#![no_main]

use serde::de::IgnoredAny;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if slack::parse_delivery(body).is_ok() {
        assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok());
    }
});
