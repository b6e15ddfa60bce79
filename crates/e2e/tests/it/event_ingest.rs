//! Responses of `/slack/events` and the other Slack endpoints.

use secrecy::SecretString;
use serde_json::{Value, json};
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};
use xtask::settings::SIGNING_SECRET;

use crate::test_app::{ADA, TEAM, TestApp};
use crate::uninstall::now_seconds;

impl TestApp {
    /// Posts a body that was signed `age` seconds ago with a secret. Returns status and body of the response.
    pub(crate) async fn post_signed(&self, path: &str, body: &str, secret: &str, age: i64) -> (u16, String) {
        let signed_at = now_seconds() - age;
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

    pub(crate) async fn metric_value(&self, line: &str) -> f64 {
        let url = format!("{}/metrics", self.apis[0].url());
        let text = self.http.get(url).send().await.expect("metrics").text().await.expect("text");
        let value = text.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {line} in\n{text}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_or_old_requests_are_rejected() {
    let app = TestApp::start().await;
    let command = "command=%2Fhelp&team_id=T1&user_id=U1&channel_id=C1&trigger_id=1&response_url=http%3A%2F%2F127.0.0.1";
    let bodies =
        [("/slack/events", "{}"), ("/slack/interactions", "payload=%7B%7D"), ("/slack/commands", command)];
    for (path, body) in bodies {
        let url = format!("{}{path}", app.apis[0].url());
        assert_eq!(app.http.post(&url).body(body).send().await.expect("an answer").status(), 401, "{path}");
        assert_eq!(app.post_signed(path, body, "another secret", 0).await.0, 401, "{path}");
        assert_eq!(app.post_signed(path, body, SIGNING_SECRET, 301).await.0, 401, "{path}");
        assert_eq!(app.post_signed(path, body, SIGNING_SECRET, -310).await.0, 401, "{path}");
        assert_eq!(app.post_signed(path, body, SIGNING_SECRET, 290).await.0, 200, "{path}");
        assert_eq!(app.post_signed(path, "{", SIGNING_SECRET, 0).await.0, 400, "{path}");
        let large = "x".repeat(1024 * 1024 + 1);
        assert_eq!(app.post_signed(path, &large, SIGNING_SECRET, 0).await.0, 413, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verified_body_gets_200_and_invalid_json_400() {
    let app = TestApp::start().await;
    let send = |body: Value| async move { body.to_string() };
    for body in ["not json", "", "{\"type\":"] {
        assert_eq!(app.post_signed("/slack/events", body, SIGNING_SECRET, 0).await.0, 400, "{body}");
    }
    let challenge = send(json!({"type": "url_verification", "challenge": "abc", "token": "t"})).await;
    let (status, answer) = app.post_signed("/slack/events", &challenge, SIGNING_SECRET, 0).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"challenge":"abc"}"#));
    for body in
        [json!({}), json!([1]), json!({"type": "app_rate_limited"}), json!({"type": "event_callback"})]
    {
        assert_eq!(app.post_signed("/slack/events", &send(body).await, SIGNING_SECRET, 0).await.0, 200);
    }
    let stranger = json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": "TSTRANGER",
        "event": {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "text": "hi", "ts": "1.2"},
    });
    assert_eq!(app.post_signed("/slack/events", &send(stranger).await, SIGNING_SECRET, 0).await.0, 200);
    assert_eq!(app.database.query("select count(*) from events"), "0");
    assert_eq!(app.metric_value(r#"enablebot_events_total{outcome="not_installed"}"#).await, 1.0);
}

/// Bodies are sent to Postgres inside a statement's text.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_ids_are_stored_verbatim() {
    let app = TestApp::installed().await;
    let hostile = r#"U'); drop table events; -- \' "{},NULL" é"#;
    let event = json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": TEAM,
        "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": "U0BOT", "is_bot": true,
                            "is_enterprise_install": false}],
        "event": {"type": "message", "channel_type": "im", "channel": "D\\", "user": hostile, "text": "hi",
                  "client_msg_id": "'", "ts": "1700000000.000100", "event_ts": "1700000000.000100"},
    });
    assert_eq!(app.post_signed("/slack/events", &event.to_string(), SIGNING_SECRET, 0).await.0, 200);
    let stored = "select user_id, client_msg_id, channel_id from events where event_id = 'Ev1'";
    app.wait_for_query("select count(*) from events where event_id = 'Ev1'", "1").await;
    assert_eq!(app.database.query(stored), format!("{hostile}|'|D\\"));
    app.database.query("delete from events where event_id = 'Ev1'");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_store_gives_503_and_is_redelivered() {
    let app = TestApp::installed().await;
    // Writes fail for a while, as in a failover of the primary.
    app.database.query("alter table event_inbox rename to event_inbox_away");
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: Not lost.");
    app.simulator
        .wait_for(
            |world| world.deliveries().iter().any(|delivery| delivery.status == Some(503)).then_some(()),
            std::time::Duration::from_secs(5),
        )
        .await
        .expect("a 503");
    app.database.query("alter table event_inbox_away rename to event_inbox");
    assert_eq!(app.wait_reply(&dm, &ts).await, "Not lost.");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_and_initial_metrics_are_complete() {
    let app = TestApp::installed().await;
    for outcome in ["answered", "set_aside", "duplicate", "from_bot"] {
        assert!(app.metric_value(&format!("enablebot_events_total{{outcome=\"{outcome}\"}}")).await >= 0.0);
    }
    assert_eq!(app.metric_value("enablebot_queue_depth").await, 0.0);
    assert!(app.metric_value("process_resident_memory_bytes").await > 0.0);
    let ts = app.send_dm(ADA, None, "say: Logged.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    assert_eq!(app.metric_value(r#"enablebot_events_total{outcome="answered"}"#).await, 1.0);
    let keys = ["timestamp", "service", "level", "tenant_id", "user_id", "message", "duration_ms", "status"];
    for service in [&app.web, &app.apis[0]] {
        let lines = service.log_lines();
        assert!(!lines.is_empty());
        for line in lines {
            let parsed: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(keys.iter().all(|key| parsed.get(key).is_some()), "{line}");
            assert!(matches!(parsed["status"].as_str(), Some("success" | "error")), "{line}");
        }
    }
    let logs = app.api_logs();
    assert!(logs.contains("\"tenant_id\":\"T0ACME\"") && logs.contains("\"event_id\":\"Ev"), "{logs}");
}
