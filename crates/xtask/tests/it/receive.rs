//! What `/slack/events` and its siblings answer.

use secrecy::SecretString;
use serde_json::{Value, json};
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};
use xtask::settings::SIGNING_SECRET;

use crate::test_app::{ADA, TEAM, TestApp};

impl TestApp {
    /// Posts a body, signed so many seconds ago with a secret; the status and the body of the answer.
    pub(crate) async fn send(&self, path: &str, body: &str, secret: &str, age: i64) -> (u16, String) {
        let signed_at = now() - age;
        let signature = SigningSecret::new(SecretString::from(secret)).sign(signed_at, body.as_bytes());
        let request = self
            .http
            .post(format!("{}{path}", self.apis[0].url()))
            .header(TIMESTAMP_HEADER, signed_at)
            .header(SIGNATURE_HEADER, signature)
            .body(body.to_owned());
        let answer = request.send().await.expect("api answers");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let url = format!("{}/metrics", self.apis[0].url());
        let text = self.http.get(url).send().await.expect("metrics").text().await.expect("text");
        let value = text.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {line} in\n{text}"))
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("seconds")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_slack_signed_of_late_is_heard() {
    let app = TestApp::start().await;
    let command = "command=%2Fhelp&team_id=T1&user_id=U1&channel_id=C1&trigger_id=1&response_url=http%3A%2F%2F127.0.0.1";
    let bodies =
        [("/slack/events", "{}"), ("/slack/interactions", "payload=%7B%7D"), ("/slack/commands", command)];
    for (path, body) in bodies {
        let url = format!("{}{path}", app.apis[0].url());
        assert_eq!(app.http.post(&url).body(body).send().await.expect("an answer").status(), 401, "{path}");
        assert_eq!(app.send(path, body, "another secret", 0).await.0, 401, "{path}");
        assert_eq!(app.send(path, body, SIGNING_SECRET, 301).await.0, 401, "{path}");
        assert_eq!(app.send(path, body, SIGNING_SECRET, -310).await.0, 401, "{path}");
        assert_eq!(app.send(path, body, SIGNING_SECRET, 290).await.0, 200, "{path}");
        assert_eq!(app.send(path, "{", SIGNING_SECRET, 0).await.0, 400, "{path}");
        let large = "x".repeat(1024 * 1024 + 1);
        assert_eq!(app.send(path, &large, SIGNING_SECRET, 0).await.0, 413, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verified_bodies_get_200_whatever_they_hold_and_400_without_json() {
    let app = TestApp::start().await;
    let send = |body: Value| async move { body.to_string() };
    for body in ["not json", "", "{\"type\":"] {
        assert_eq!(app.send("/slack/events", body, SIGNING_SECRET, 0).await.0, 400, "{body}");
    }
    let challenge = send(json!({"type": "url_verification", "challenge": "abc", "token": "t"})).await;
    let (status, answer) = app.send("/slack/events", &challenge, SIGNING_SECRET, 0).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"challenge":"abc"}"#));
    for body in
        [json!({}), json!([1]), json!({"type": "app_rate_limited"}), json!({"type": "event_callback"})]
    {
        assert_eq!(app.send("/slack/events", &send(body).await, SIGNING_SECRET, 0).await.0, 200);
    }
    let stranger = json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": "TSTRANGER",
        "event": {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "text": "hi", "ts": "1.2"},
    });
    assert_eq!(app.send("/slack/events", &send(stranger).await, SIGNING_SECRET, 0).await.0, 200);
    assert_eq!(app.database.ask("select count(*) from events"), "0");
    assert_eq!(app.metric(r#"enablebot_events_total{outcome="not_installed"}"#).await, 1.0);
}

/// They go to Postgres within a statement's text.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_stored_as_they_come_whatever_they_hold() {
    let app = TestApp::installed().await;
    let hostile = r#"U'); drop table events; -- \' "{},NULL" é"#;
    let event = json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": TEAM,
        "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": "U0BOT", "is_bot": true,
                            "is_enterprise_install": false}],
        "event": {"type": "message", "channel_type": "im", "channel": "D\\", "user": hostile, "text": "hi",
                  "client_msg_id": "'", "ts": "1700000000.000100", "event_ts": "1700000000.000100"},
    });
    assert_eq!(app.send("/slack/events", &event.to_string(), SIGNING_SECRET, 0).await.0, 200);
    let stored = "select user_id, client_msg_id, channel_id from events where event_id = 'Ev1'";
    app.becomes("select count(*) from events where event_id = 'Ev1'", "1").await;
    assert_eq!(app.database.ask(stored), format!("{hostile}|'|D\\"));
    app.database.ask("delete from events where event_id = 'Ev1'");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_answered_with_503_within_two_seconds_and_comes_again() {
    let app = TestApp::installed().await;
    // Nobody can write for a while, as when a primary fails over.
    app.database.ask("alter table deliveries rename to deliveries_away");
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: Not lost.");
    app.simulator
        .wait_for(
            |world| world.deliveries().iter().any(|delivery| delivery.status == Some(503)).then_some(()),
            std::time::Duration::from_secs(5),
        )
        .await
        .expect("a 503");
    app.database.ask("alter table deliveries_away rename to deliveries");
    assert_eq!(app.reply(&dm, &ts).await, "Not lost.");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_line_has_the_eight_keys_and_counters_begin_at_zero() {
    let app = TestApp::installed().await;
    for outcome in ["answered", "set_aside", "duplicate", "from_bot"] {
        assert!(app.metric(&format!("enablebot_events_total{{outcome=\"{outcome}\"}}")).await >= 0.0);
    }
    assert_eq!(app.metric("enablebot_queue_depth").await, 0.0);
    assert!(app.metric("process_resident_memory_bytes").await > 0.0);
    let ts = app.say(ADA, None, "say: Logged.");
    app.reply(&app.dm(ADA), &ts).await;
    assert_eq!(app.metric(r#"enablebot_events_total{outcome="answered"}"#).await, 1.0);
    let keys = ["timestamp", "service", "level", "tenant_id", "user_id", "message", "duration_ms", "status"];
    for service in [&app.web, &app.apis[0]] {
        let lines = service.lines();
        assert!(!lines.is_empty());
        for line in lines {
            let parsed: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(keys.iter().all(|key| parsed.get(key).is_some()), "{line}");
            assert!(matches!(parsed["status"].as_str(), Some("success" | "error")), "{line}");
        }
    }
    let logs = app.logs();
    assert!(logs.contains("\"tenant_id\":\"T0ACME\"") && logs.contains("\"event_id\":\"Ev"), "{logs}");
}
