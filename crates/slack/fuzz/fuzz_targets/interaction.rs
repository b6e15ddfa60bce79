//! Whatever is posted to `/slack/interactions` and `/slack/commands`: no panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = slack::read_interaction(body);
    let _ = slack::read_command(body);
});
