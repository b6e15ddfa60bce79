//! Parsers of incoming requests: no input makes them panic.

use proptest::prelude::*;
use slack::{SigningSecret, parse_delivery, unescape_message};

use crate::text::any_text;

/// Generates JSON with the fields of an envelope and values of any type.
fn any_envelope() -> impl Strategy<Value = String> {
    const ENVELOPE_KEYS: [&str; 12] = [
        "type",
        "event",
        "authorizations",
        "team_id",
        "event_id",
        "channel",
        "ts",
        "thread_ts",
        "user",
        "text",
        "challenge",
        "files",
    ];
    const ENVELOPE_VALUES: [&str; 9] =
        ["null", "1", "true", "\"event_callback\"", "\"message\"", "\"C1\"", "\"1.5\"", "[]", "{}"];
    let leaf = prop::sample::select(&ENVELOPE_VALUES[..]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 8, |value| {
        let fields = prop::collection::vec((prop::sample::select(&ENVELOPE_KEYS[..]), value.clone()), 0..8)
            .prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            });
        let items = prop::collection::vec(value, 0..3).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![fields, items]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn delivery_parses_or_errors(bytes: Vec<u8>, envelope in any_envelope()) {
        let _ = parse_delivery(&bytes);
        prop_assert!(parse_delivery(envelope.as_bytes()).is_ok(), "{}", envelope);
    }

    #[test]
    fn signature_verifies_or_errors(
        body: Vec<u8>,
        timestamp: Option<String>,
        signature in prop::option::of("(v0=)?[0-9a-fA-F]{0,70}|.*"),
        now: i64,
    ) {
        let secret = SigningSecret::new("secret".into());
        prop_assert!(secret.verify(timestamp.as_deref(), signature.as_deref(), &body, now).is_err());
        let signed = secret.sign(now, &body);
        prop_assert_eq!(secret.verify(Some(&now.to_string()), Some(&signed), &body, now), Ok(()));
    }

    #[test]
    fn any_text_is_unescaped(text in any_text(), bot_user_id: String) {
        let _ = unescape_message(&text, &bot_user_id);
    }
}
