//! Any text: no panic, and what is kept of it stands there in its order.
#![no_main]

const REDACTION_PREFIX: &str = "[redacted: ";

libfuzzer_sys::fuzz_target!(|text: &str| {
    let shown = models::redact(text);
    if text.contains(REDACTION_PREFIX) {
        return;
    }
    let mut rest = text;
    for (at, piece) in shown.split(REDACTION_PREFIX).enumerate() {
        let kept = if at == 0 { piece } else { piece.split_once(']').expect("a mark ends").1 };
        rest = &rest[rest.find(kept).expect("it is the text's own") + kept.len()..];
    }
});
