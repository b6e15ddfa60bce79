//! Rows of sessions and API keys that somebody writes to the database grant nothing.

use serde_json::json;
use xtask::service;

use crate::cli::run_to_exit;
use crate::encryption_at_rest::master_key;
use crate::fixtures::binaries;
use crate::test_app::{ADA, BETA, GRACE, TestApp};

/// A page that only admins may open.
const ADMIN_PAGE: &str = "/dashboard/settings";

/// A key that nobody created with the dashboard.
const MADE_UP_KEY: &str = "eb_madeup0000000000000000000000000000000000000";

fn insert_made_up_key(tenant: &str) -> String {
    format!(
        "insert into api_keys (key_id, tenant_id, name, digest, hint, scopes, created_by) values
         (gen_random_uuid(), '{tenant}', 'Made up', sha256('{MADE_UP_KEY}'), '0000', '{{chat,chat:people}}', 'U0ADA')"
    )
}

impl TestApp {
    async fn page_status(&self, path: &str, cookie: &str) -> u16 {
        self.get_page(path, Some(cookie)).await.status().as_u16()
    }

    /// Returns the status of a question with this key.
    async fn chat_status(&self, key: &str) -> u16 {
        self.post_chat(key, json!({ "message": "say: Yes." })).await.status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_session_is_refused() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    for (change, undo) in [
        ("is_admin = true", "is_admin = false"),
        ("user_id = 'U0ADA'", "user_id = 'U0GRACE'"),
        ("tenant_id = 'T0BETA'", "tenant_id = 'T0ACME'"),
        ("proof = (select proof from sessions where user_id = 'U0ADA')", ""),
        ("proof = null", ""),
    ] {
        let row = "session_id = (select session_id from sessions order by created_at desc limit 1)";
        let proof = app.database.query(&format!("select proof from sessions where {row}"));
        app.database.query(&format!("update sessions set {change} where {row}"));
        for path in [ADMIN_PAGE, "/dashboard"] {
            assert_eq!(app.page_status(path, &grace).await, 303, "{change} {path}");
        }
        assert_eq!(app.page_status(ADMIN_PAGE, &ada).await, 200, "{change}: another session goes on");
        let undo = if undo.is_empty() { format!("proof = '{proof}'") } else { undo.to_owned() };
        app.database.query(&format!("update sessions set {undo} where {row}"));
        assert_eq!(app.page_status("/dashboard", &grace).await, 200, "{change} undone");
        assert_eq!(app.page_status(ADMIN_PAGE, &grace).await, 403, "{change} undone");
    }
    // A copy of an admin's session for a cookie that somebody made up.
    app.database.query(
        "insert into sessions (session_digest, tenant_id, user_id, name, email, is_admin, proof)
         select sha256('made-up'), tenant_id, user_id, name, email, true, proof from sessions where user_id = 'U0ADA'",
    );
    assert_eq!(app.page_status("/dashboard", "enablebot=made-up").await, 303);
    app.database.query(
        "update sessions set seen_at = now() + interval '1 year', checked_at = now() + interval '1 year'",
    );
    assert_eq!(app.page_status("/dashboard", &grace).await, 200, "a later time changes nothing");

    let refused = |line: &&String| line.contains("session without valid proof refused");
    let lines = app.web.log_lines();
    assert!(lines.iter().filter(refused).any(|line| line.contains(GRACE)), "{lines:?}");
    let metrics = app.get_page("/metrics", None).await.text().await.expect("text");
    let counter = "enablebot_unproven_rows_total{table=\"sessions\"} ";
    let counted = metrics.lines().find_map(|line| line.strip_prefix(counter)).expect("the counter");
    assert!(counted.parse::<u32>().expect("a number") >= 11, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_api_key_is_refused() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat"]).await;
    assert_eq!(app.chat_status(&key).await, 200);
    for (change, undo) in [
        ("scopes = '{chat,chat:people}'", "scopes = '{chat}'"),
        ("tenant_id = 'T0BETA'", "tenant_id = 'T0ACME'"),
        ("created_by = 'U0GRACE'", "created_by = 'U0ADA'"),
    ] {
        app.database.query(&format!("update api_keys set {change}"));
        assert_eq!(app.chat_status(&key).await, 401, "{change}");
        app.database.query(&format!("update api_keys set {undo}"));
        assert_eq!(app.chat_status(&key).await, 200, "{change} undone");
    }
    app.database.query(&insert_made_up_key("T0ACME"));
    assert_eq!(app.chat_status(MADE_UP_KEY).await, 401);
    let cookie = app.sign_in(ADA).await;
    let (_, page) = app.get_page_text("/dashboard/api-keys", &cookie).await;
    assert_eq!(page.matches("data-testid=\"unproven\"").count(), 1, "{page}");
    assert!(app.metric_value("enablebot_unproven_rows_total{table=\"api_keys\"} ").await > 3.0);
    assert!(app.api_logs().contains("API key without valid proof refused"));

    let key_id = app.database.query("select key_id from api_keys where name = 'A program'");
    assert_eq!(app.post_fields(&format!("/dashboard/api-keys/{key_id}/revoke"), &cookie, "").await.0, 303);
    app.database.query("update api_keys set revoked_at = null");
    assert_eq!(app.chat_status(&key).await, 401, "revoked for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_signs_api_keys_once() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat"]).await;
    // The schema before the proofs.
    app.database.query(
        "alter table api_keys drop column proof, drop column master_key_id;
         alter table sessions drop column proof, drop column session_id, drop column browser;
         delete from _sqlx_migrations where version = 10",
    );
    let mut variables = app.settings.owner().web_variables();
    let keys = variables.remove("ENCRYPTION_KEYS").expect("the master keys");
    let (code, told) = run_to_exit("web", &["migrate"], &variables);
    assert!(code == Some(1) && told.contains("set ENCRYPTION_KEYS"), "{told}");
    assert_eq!(app.database.query("select count(*) from _sqlx_migrations where version = 10"), "0");
    variables.insert("ENCRYPTION_KEYS".to_owned(), keys);
    let migrate = || {
        let web = binaries().path("web").expect("it is built");
        service::run_command(web, &["migrate"], &variables).expect("it migrates")
    };
    assert!(migrate().contains("1 migration was applied"));
    assert_eq!(app.chat_status(&key).await, 200, "a key from before");
    app.database.query(&insert_made_up_key("T0ACME"));
    assert!(migrate().contains("up to date"));
    assert_eq!(app.chat_status(MADE_UP_KEY).await, 401, "signed only once");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_signs_api_keys_again() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat"]).await;
    let (old, new) = (app.settings.secrets.encryption_keys.clone(), master_key("newest", 9));
    let old_id = old.split(':').next().expect("an id").to_owned();
    app.restart_with_master_keys(&format!("{new},{old}"));
    assert_eq!(app.chat_status(&key).await, 200);
    let run = |app: &TestApp, arguments: &[&str]| {
        let web = binaries().path("web").expect("it is built");
        service::run_command(web, arguments, &app.settings.web_variables()).expect("it runs")
    };
    let told = run(&app, &["keys", "rotate"]);
    assert!(told.contains("1 API key(s) signed again"), "{told}");
    let status = run(&app, &["keys", "status"]);
    let line = status.lines().find(|line| line.contains(&format!(" {old_id} "))).expect("the old key");
    assert!(line.contains("safe to remove"), "{status}");
    app.restart_with_master_keys(&new);
    assert_eq!(app.chat_status(&key).await, 200);
}
