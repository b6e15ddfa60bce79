//! What a person may do follows from what Slack says about them now; a refusal is an answer, an outage none.

use reqwest::Method;
use serde_json::json;
use simulator::InjectedFault;

use crate::test_app::{ADA, GRACE, TEAM, TestApp};

const SETTINGS_PATH: &str = "/dashboard/settings";

/// Longer than any number of attempts at one call.
const LASTING: usize = 1_000;

/// A request: its method, path and form.
type PageAction = (Method, &'static str, &'static [(&'static str, &'static str)]);

/// What cannot be taken back.
const CONFIRMED_ACTIONS: [PageAction; 9] = [
    (Method::POST, "/dashboard/data/export.tar", &[]),
    (Method::POST, "/dashboard/data/delete", &[("workspace", "Acme")]),
    (Method::POST, "/dashboard/api-keys", &[("name", "A program"), ("chat", "on")]),
    (Method::POST, "/dashboard/people/U0GRACE/forget", &[]),
    (Method::POST, "/dashboard/people/U0GRACE/export.json", &[]),
    (Method::GET, "/dashboard/audit.csv", &[]),
    (Method::POST, "/dashboard/settings/model-key", &[("model_key", "sk-1")]),
    (Method::POST, "/dashboard/settings/model-key/remove", &[]),
    (Method::POST, "/dashboard/settings/managers", &[("user_id", "U0GRACE")]),
];

impl TestApp {
    /// Lets the last word of Slack be this many minutes old.
    fn age_standing(&self, minutes: u32) {
        self.database
            .query(&format!("update sessions set checked_at = now() - interval '{minutes} minutes'"));
    }

    async fn try_action(&self, cookie: &str, action: &PageAction) -> (u16, String) {
        let (method, path, form) = action;
        let answer = match *method {
            Method::POST => self.send_form(path, Some(cookie), form).await,
            _ => self.get_page(path, Some(cookie)).await,
        };
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_by_slack_ends_admin_rights() {
    let app = TestApp::start_with_operators("T0ACME/U0ADA").await;
    for (code, page_status, home_status) in [
        ("user_not_found", 303, 303),
        ("user_not_visible", 303, 303),
        ("account_inactive", 403, 200),
        ("invalid_auth", 403, 200),
        ("token_revoked", 403, 200),
    ] {
        let ada = app.sign_in(ADA).await;
        assert_eq!(app.get_page_text("/operators", &ada).await.0, 200, "{code}");
        app.age_standing(11);
        app.simulator.inject_fault("users.info", InjectedFault::Error(code), LASTING);
        assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, page_status, "{code}");
        assert_eq!(app.get_page_text("/dashboard", &ada).await.0, home_status, "{code}");
        let operators = app.get_page_text("/operators", &ada).await.0;
        assert_eq!(operators, if home_status == 200 { 404 } else { 303 }, "{code}");
        app.simulator.clear_faults("users.info");
        if home_status == 200 {
            assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 200, "asked again after {code}");
        }
    }
    let ada = app.sign_in(ADA).await;
    app.database.query("update installations set disabled_reason = 'token_revoked', disabled_at = now()");
    app.age_standing(11);
    assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 403, "the token is known to be dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_needs_the_word_of_slack() {
    let app = TestApp::installed().await;
    app.simulator.inject_fault("users.info", InjectedFault::HttpStatus(503), LASTING);
    let ada = app.sign_in(ADA).await;
    assert_eq!(app.get_page_text("/dashboard", &ada).await.0, 200, "she is somebody of the workspace");
    assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 403, "but nobody says that she is an admin");
    app.simulator.clear_faults("users.info");
    assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_keeps_standing_for_an_hour() {
    let app = TestApp::start_with_operators("T0ACME/U0ADA").await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    assert_eq!(app.name_manager(&ada, GRACE).await.0, 303);
    app.simulator.inject_fault("users.info", InjectedFault::HttpStatus(503), LASTING);
    for (minutes, settings, operators) in [(11, 200, 200), (59, 200, 200), (61, 403, 404)] {
        app.age_standing(minutes);
        assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, settings, "after {minutes} minutes");
        assert_eq!(app.get_page_text(SETTINGS_PATH, &grace).await.0, settings, "after {minutes} minutes");
        assert_eq!(app.get_page_text("/operators", &ada).await.0, operators, "after {minutes} minutes");
        assert_eq!(app.get_page_text("/dashboard", &ada).await.0, 200, "her own questions");
    }
    app.simulator.clear_faults("users.info");
    assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn export_deletion_and_keys_ask_slack_first() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ts = app.send_dm(GRACE, None, "say: Hello.");
    app.wait_reply(&app.dm(GRACE), &ts).await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let stored = "select (select count(*) from tenants), (select count(*) from exports), (select count(*) from api_keys),
                         (select count(*) from chat_memory), (select count(*) from managers),
                         (select count(*) from audit_log)";
    let before = app.database.query(stored);
    app.simulator.inject_fault("users.info", InjectedFault::HttpStatus(503), LASTING);
    for action in &CONFIRMED_ACTIONS {
        let (status, page) = app.try_action(&ada, action).await;
        assert!(status == 503 && page.contains("Slack cannot be asked"), "{action:?}: {status} {page}");
    }
    assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 200, "Slack said so a moment ago");
    let own = app.try_action(&grace, &(Method::POST, "/dashboard/people/me/export.json", &[])).await;
    assert!(own.0 == 200 && own.1.contains("Hello."), "one's own data: {own:?}");
    app.simulator.clear_faults("users.info");
    // She is no admin any more, and her session does not know yet.
    for action in &CONFIRMED_ACTIONS {
        app.simulator.update_person(TEAM, ADA, |person| (person.is_admin, person.is_owner) = (true, true));
        app.age_standing(11);
        assert_eq!(app.get_page_text(SETTINGS_PATH, &ada).await.0, 200, "Slack says so again");
        app.simulator.update_person(TEAM, ADA, |person| (person.is_admin, person.is_owner) = (false, false));
        assert_eq!(app.try_action(&ada, action).await.0, 403, "{action:?}");
    }
    let after = app
        .database
        .query(&stored.replace("(select count(*) from audit_log)", "(select count(*) - 1 from audit_log)"));
    assert_eq!(after, before, "only her own export is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn program_asks_for_nobody_slack_denies() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat", "people"]).await;
    let question = || json!({ "message": "say: Me.", "user_id": GRACE });
    for (fault, status, text) in [
        (InjectedFault::Error("user_not_found"), 400, "`user_id` is unknown"),
        (InjectedFault::Error("user_not_visible"), 400, "`user_id` is unknown"),
        (InjectedFault::Error("account_inactive"), 403, "does not confirm"),
        (InjectedFault::Error("token_revoked"), 403, "does not confirm"),
        (InjectedFault::HttpStatus(503), 503, "cannot be asked"),
    ] {
        app.simulator.inject_fault("users.info", fault, LASTING);
        let (found, told) = app.chat_problem(&key, question()).await;
        assert!(found == status && told.contains(text), "{fault:?}: {found} {told}");
        app.simulator.clear_faults("users.info");
    }
    assert!(app.simulator.model_requests().is_empty(), "nobody is answered");
    assert_eq!(app.chat(&key, question()).await["answer"], "Me.");
    // Slack's word counts for an hour.
    app.simulator.inject_fault("users.info", InjectedFault::HttpStatus(503), LASTING);
    app.database.query("update people set checked_at = now() - interval '59 minutes'");
    assert_eq!(app.chat(&key, question()).await["answer"], "Me.");
    app.database.query("update people set checked_at = now() - interval '61 minutes'");
    assert_eq!(app.chat_problem(&key, question()).await.0, 503);
    app.simulator.clear_faults("users.info");
    app.simulator.deactivate(TEAM, GRACE);
    let (status, told) = app.chat_problem(&key, question()).await;
    assert!(status == 403 && told.contains("deactivated"), "{told}");
}
