//! Bodies of `/slack/interactions` and `/slack/commands`: no panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = slack::parse_interaction(body);
    let _ = slack::parse_command(body);
});
