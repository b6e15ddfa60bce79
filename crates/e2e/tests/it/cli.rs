//! The operator's commands: settings, migrations, health.

use std::process::Command;

use serde_json::Value;
use xtask::service::{self, Variables};
use xtask::settings::{Ports, Secrets, StackSettings};

use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::{ADA, TEST_TIMEOUT, TestApp};

fn simulated_settings(database: &TestDatabase) -> StackSettings {
    let secrets = Secrets::generate().expect("random bytes");
    StackSettings::simulated(Ports::free().expect("ports"), database.url.clone(), secrets)
}

/// Runs a program that is expected to exit by itself. Returns its exit code and its stderr.
pub(crate) fn run_to_exit(name: &str, arguments: &[&str], variables: &Variables) -> (Option<i32>, String) {
    let mut command = Command::new(binaries().path(name).expect("it is built"));
    command.args(arguments).env_clear().envs(variables).current_dir("/");
    let output = command.output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn all_invalid_variables_reported() {
    let variables =
        [("API_PORT", "eighty"), ("ENCRYPTION_KEYS", "k1:short"), ("SLACK_BASE_URL", "slack.com")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let (code, told) = run_to_exit("api", &[], &variables);
    assert_eq!(code, Some(1));
    for name in [
        "API_PORT",
        "ENCRYPTION_KEYS",
        "SLACK_BASE_URL",
        "DATABASE_URL",
        "SLACK_SIGNING_SECRET",
        "OPENAI_API_KEY",
    ] {
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with(name)).collect();
        assert!(lines.len() == 1 && lines[0].contains("for example"), "{name}: {told}");
    }
    assert!(!told.contains("short"), "a secret is never shown: {told}");
    let (code, told) = run_to_exit("web", &[], &Variables::new());
    assert_eq!(code, Some(1));
    assert!(told.contains("SLACK_REDIRECT_URI is not set"), "{told}");
}

#[test]
fn outdated_schema_error_names_web_migrate() {
    let database = TestDatabase::create();
    let settings = simulated_settings(&database).owner();
    for (name, variables) in [("api", settings.api_variables()), ("web", settings.web_variables())] {
        let (code, told) = run_to_exit(name, &[], &variables);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("web migrate"), "{told}");
    }
    let migrate = || {
        service::run_command(binaries().path("web").expect("web"), &["migrate"], &settings.web_variables())
            .expect("it runs")
    };
    assert!(migrate().contains("migrations were applied"));
    assert_eq!(migrate().trim(), "The schema is up to date.");
    // A database from before the first release has another first migration.
    database.query("update _sqlx_migrations set checksum = 'other' where version = 1");
    for arguments in [&["migrate"][..], &[]] {
        let (code, told) = run_to_exit("web", arguments, &settings.web_variables());
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("drop schema enablebot cascade"), "{told}");
    }
}

#[test]
fn manifest_matches_code() {
    let variables: Variables =
        [("SLACK_REDIRECT_URI".to_owned(), "https://bot.example.com/slack/oauth/callback".to_owned())].into();
    let printed = service::run_command(binaries().path("web").expect("web"), &["manifest"], &variables)
        .expect("it runs");
    let manifest: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(
        manifest["settings"]["event_subscriptions"]["request_url"],
        "https://bot.example.com/slack/events"
    );
    assert_eq!(manifest["oauth_config"]["scopes"]["bot"], serde_json::json!(slack::BOT_SCOPES));
    assert_eq!(
        manifest["settings"]["event_subscriptions"]["bot_events"],
        serde_json::json!(slack::BOT_EVENTS)
    );
    assert!(manifest["features"]["agent_view"]["agent_description"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_reports_failed_check() {
    let app = TestApp::start().await;
    for service in [&app.web, &app.apis[0]] {
        let get = |path: &str| app.http.get(format!("{}{path}", service.url())).send();
        let health: Value = get("/health").await.expect("an answer").json().await.expect("JSON");
        assert_eq!(
            (health["status"].as_str(), health["service"].as_str()),
            (Some("ok"), Some(service.name.as_str()))
        );
        let ready = get("/health/ready").await.expect("an answer");
        assert_eq!(ready.status(), 200);
        let ready: Value = ready.json().await.expect("JSON");
        assert_eq!(ready["checks"]["database"], "ok");
        assert!(
            get("/metrics")
                .await
                .expect("an answer")
                .text()
                .await
                .expect("text")
                .contains("enablebot_http_requests_total")
        );
    }
    app.database
        .query("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)");
    for service in [&app.web, &app.apis[0]] {
        let ready = app.http.get(format!("{}/health/ready", service.url())).send().await.expect("an answer");
        assert_eq!(ready.status(), 503);
        let ready: Value = ready.json().await.expect("JSON");
        assert_eq!(ready["status"], "not_ready");
        assert!(ready["checks"]["schema"].as_str().expect("text").contains("web migrate"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_lists_tenants_and_event_outcomes() {
    let app = TestApp::installed().await;
    let web = |arguments: &[&str]| {
        service::run_command(binaries().path("web").expect("web"), arguments, &app.settings.web_variables())
            .expect("it runs")
    };
    let listed = web(&["tenants", "list"]);
    assert!(listed.contains("T0ACME") && listed.contains("active"), "{listed}");
    app.post(ADA, "general", None, "lunch?");
    let begun = std::time::Instant::now();
    let noise = loop {
        let noise = web(&["events", "list", "T0ACME", "--channel", "C0GENERAL", "--since", "5"]);
        if noise.contains("not_addressed") || begun.elapsed() > TEST_TIMEOUT {
            break noise;
        }
    };
    assert!(noise.contains("a channel message without a mention") && noise.contains(ADA), "{noise}");
    let none = web(&["events", "list", "T0ACME", "--event", "Ev0"]);
    assert!(none.starts_with("No such event"), "{none}");
    let opened = web(&["channels", "allow-external", "T0ACME", "C0GENERAL"]);
    assert!(opened.contains("now answered in C0GENERAL"), "{opened}");
    assert_eq!(app.database.query("select external_allowed from channels"), "t");
    let unknown = web(&["channels", "allow-external", "T0NOBODY", "C1"]);
    assert!(unknown.contains("no tenant T0NOBODY"), "{unknown}");
    assert!(web(&["tenants", "receipts", "T0ACME"]).starts_with("No deletion of T0ACME"));
}
