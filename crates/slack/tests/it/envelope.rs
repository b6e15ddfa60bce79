//! Deliveries to `/slack/events`: tenant, thread and relevance of events.

use models::{EventOutcome, InboundEvent, Relevance};
use serde_json::{Value, json};
use slack::{ParsedDelivery, parse_delivery};

/// Parses a channel message as Slack sends it, with these changes to the event's and the envelope's fields.
fn parse_case(event: Value, envelope: Value) -> ParsedDelivery {
    let mut body = json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": "TOTHER", "event_time": 1,
        "authorizations": [{"enterprise_id": null, "team_id": "T1", "user_id": "UBOT", "is_bot": true,
                            "is_enterprise_install": false}],
        "event": {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U1",
                  "text": "hi", "ts": "1.000001", "team": "T1", "client_msg_id": "m1"},
    });
    merge(&mut body["event"], event);
    merge(&mut body, envelope);
    parse_delivery(body.to_string().as_bytes()).unwrap()
}

fn merge(target: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (key, value) in changes {
        target[key] = value;
    }
}

fn parse_event_case(event: Value) -> InboundEvent {
    match parse_case(event, json!({})) {
        ParsedDelivery::Event(event) => *event,
        other => panic!("expected an event, got {other:?}"),
    }
}

fn parse_outcome_case(event: Value, envelope: Value) -> EventOutcome {
    match parse_case(event, envelope) {
        ParsedDelivery::Ignored { outcome, .. } => outcome,
        other => panic!("expected it to be ignored, got {other:?}"),
    }
}

#[test]
fn dm_starts_its_own_thread() {
    let dm = parse_event_case(json!({"channel_type": "im", "channel": "D1"}));
    assert_eq!((dm.tenant_id.as_str(), dm.relevance), ("T1", Relevance::Addressed));
    assert_eq!(dm.thread.thread_ts.as_str(), "1.000001");
    let later =
        parse_event_case(json!({"channel_type": "im", "channel": "D1", "thread_ts": "0.5", "ts": "2.0"}));
    assert_eq!(later.thread.thread_ts.as_str(), "0.5");
}

#[test]
fn relevance_follows_mention_and_thread() {
    let addressed = [
        json!({"type": "app_mention"}),
        json!({"text": "hey <@UBOT> there"}),
        json!({"thread_ts": "0.5", "parent_user_id": "UBOT"}),
        json!({"text": "<@UBOT>", "subtype": "file_share"}),
    ];
    for case in addressed {
        assert_eq!(parse_event_case(case.clone()).relevance, Relevance::Addressed, "{case}");
    }
    assert_eq!(parse_event_case(json!({"thread_ts": "0.5"})).relevance, Relevance::ThreadReply);
    assert_eq!(parse_outcome_case(json!({}), json!({})), EventOutcome::NotForBot);
}

#[test]
fn non_user_messages_are_ignored() {
    assert_eq!(parse_outcome_case(json!({"bot_id": "B1"}), json!({})), EventOutcome::FromBot);
    assert_eq!(parse_outcome_case(json!({"user": "UBOT"}), json!({})), EventOutcome::FromBot);
    for subtype in ["message_changed", "message_deleted", "channel_join", "something_new"] {
        assert_eq!(
            parse_outcome_case(json!({"subtype": subtype}), json!({})),
            EventOutcome::Unsupported,
            "{subtype}"
        );
    }
    assert_eq!(
        parse_outcome_case(json!({"type": "app_mention", "edited": {"ts": "2.0"}}), json!({})),
        EventOutcome::Unsupported
    );
    assert_eq!(parse_outcome_case(json!({"type": "reaction_added"}), json!({})), EventOutcome::Unsupported);
    assert_eq!(parse_outcome_case(json!({}), json!({"type": "app_rate_limited"})), EventOutcome::Unsupported);
    assert_eq!(parse_outcome_case(json!({"user": 7}), json!({})), EventOutcome::Unsupported);
    assert_eq!(parse_outcome_case(json!({"user": "U\u{0}"}), json!({})), EventOutcome::Unsupported);
    assert_eq!(parse_outcome_case(json!({"ts": "1".repeat(3000)}), json!({})), EventOutcome::Unsupported);
}

#[test]
fn tenant_comes_from_first_authorization() {
    let tenant = |envelope| match parse_case(json!({"type": "app_mention"}), envelope) {
        ParsedDelivery::Event(event) => event.tenant_id.into_string(),
        other => panic!("expected an event, got {other:?}"),
    };
    assert_eq!(tenant(json!({})), "T1");
    assert_eq!(tenant(json!({"authorizations": []})), "TOTHER");
    let org = json!([{"enterprise_id": "E1", "team_id": null, "is_enterprise_install": true}]);
    assert_eq!(tenant(json!({"authorizations": org})), "E1");
}

#[test]
fn any_json_parses_without_error() {
    let lone_surrogate = r#"{"type":"event_callback","event":{"type":"message","text":"\ud800"}}"#;
    for body in ["{}", "[]", "null", "7", "\"x\"", r#"{"type":"event_callback"}"#, lone_surrogate] {
        assert!(matches!(parse_delivery(body.as_bytes()), Ok(ParsedDelivery::Ignored { .. })), "{body}");
    }
    for body in ["", "{", "payload=%7B%7D", "\u{0}"] {
        assert!(parse_delivery(body.as_bytes()).is_err(), "{body}");
    }
    let challenge = parse_delivery(br#"{"type":"url_verification","challenge":"c"}"#).unwrap();
    assert!(matches!(challenge, ParsedDelivery::UrlVerification { challenge } if challenge == "c"));
}
