//! Whatever is posted to `/slack/events`: read where it is JSON, refused where it is not.
#![no_main]

use serde::de::IgnoredAny;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    assert_eq!(slack::read_delivery(body).is_ok(), is_json);
});
