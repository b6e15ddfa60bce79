//! The dashboard, in a real browser.

use std::time::{Duration, Instant};

use fantoccini::Locator;

use crate::chromium::Chromium;
use crate::test_app::{ADA, GRACE, TEST_TIMEOUT, TestApp};

impl Chromium {
    /// Signs in as one of the people of the simulated Slack.
    pub(crate) async fn sign_in(&self, app: &TestApp, user: &str) {
        self.client.goto(&format!("{}/dashboard", app.web.url())).await.expect("the sign-in page");
        let choice = self.find_test_id("sign-in-as").await;
        choice.select_by_value(user).await.expect("a person of the workspace");
        self.click("allow").await;
        self.find_test_id("who").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_redrives_dead_letter_from_overview() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.find_test_id("empty").await;
    browser.take_screenshots("dashboard-empty").await;

    app.simulator.set_model_options("ttft=0&gap=0");
    for number in 0..5 {
        app.send_dm(if number % 2 == 0 { ADA } else { GRACE }, None, &format!("say: Answer {number}."));
    }
    app.wait_for_query("select count(*) from events where outcome = 'answered'", "5").await;
    app.simulator.set_model_options("fail=400&fail_times=1");
    let failed = app.send_dm(GRACE, None, "say: It fails once.");
    let outcome = format!("select outcome from events where message_ts = '{failed}'");
    app.wait_for_query(&outcome, "set_aside").await;
    browser.find_test_id("chart").await;
    // The page updates itself without a reload.
    let begun = Instant::now();
    loop {
        let tiles = browser.find_test_id("tiles").await.text().await.unwrap_or_default();
        if tiles.contains("6\nQuestions") && tiles.contains("5\nAnswered") {
            break;
        }
        assert!(begun.elapsed() < TEST_TIMEOUT, "{tiles}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    browser.take_screenshots("dashboard").await;

    browser
        .client
        .find(Locator::LinkText("View events"))
        .await
        .expect("a link")
        .click()
        .await
        .expect("a click");
    let row = browser.find_css("[data-testid=events] tbody tr").await.text().await.expect("text");
    assert!(row.contains("failed"), "{row}");
    browser.take_screenshots("events").await;
    browser.find_css("[data-testid=events] tbody a").await.click().await.expect("a click");
    browser.find_test_id("redrive").await;
    browser.take_screenshots("event").await;
    app.simulator.set_model_options("ttft=0&gap=0");
    browser.click("redrive").await;
    app.wait_for_query(&outcome, "answered").await;
    let redriven = "select actor from audit_log where action = 'redriven'";
    assert_eq!(app.database.query(redriven), ADA);

    browser.click("sign-out").await;
    let landing = browser.client.wait().at_most(TEST_TIMEOUT);
    landing.for_element(Locator::Css("[data-testid=add-to-slack]")).await.expect("the front page");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_sees_missing_scopes_and_audit_log() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    let go = |path: &str| format!("{}{path}", app.web.url());
    browser.client.goto(&go("/dashboard/health")).await.expect("the page");
    assert_eq!(browser.find_test_id("state").await.text().await.expect("text"), "Healthy");
    browser.take_screenshots("health").await;
    app.database.query("update installations set scopes = replace(scopes, 'files:read', '')");
    browser.client.refresh().await.expect("the page");
    let to_do = browser.find_test_id("to-do").await.text().await.expect("text");
    assert!(to_do.contains("files:read") && to_do.contains("I cannot read files"), "{to_do}");
    browser.take_screenshots("health-to-do").await;

    browser.client.goto(&go("/dashboard/audit")).await.expect("the page");
    let entries = browser.find_test_id("entries").await.text().await.expect("text");
    assert!(entries.contains("installed") && entries.contains("signed in"), "{entries}");
    browser.take_screenshots("audit").await;
    browser.client.goto(&go("/dashboard/audit?action=installed")).await.expect("the page");
    let entries = browser.find_test_id("entries").await.text().await.expect("text");
    assert!(entries.contains("installed") && !entries.contains("signed in"), "{entries}");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());

    app.database.query(
        "insert into audit_log (tenant_id, actor, action) select 'T0ACME', '=cmd', 'answered'
         from generate_series(1, 2500)",
    );
    let cookie = app.sign_in(ADA).await;
    let export = app.get_page("/dashboard/audit.csv", Some(&cookie)).await;
    assert_eq!(export.headers()["content-type"], "text/csv; charset=utf-8");
    let rows = export.text().await.expect("text");
    assert_eq!(rows.lines().count().to_string(), app.database.query("select 1 + count(*) from audit_log"));
    assert!(rows.contains("\"'=cmd\"") && !rows.contains("\"=cmd\""), "no cell is a formula");
    let member = app.sign_in(GRACE).await;
    for path in ["/dashboard/health", "/dashboard/audit", "/dashboard/audit.csv"] {
        assert_eq!(app.get_page(path, Some(&member)).await.status(), 403, "{path}");
        assert_eq!(app.get_page(path, None).await.status(), 303, "{path}");
    }
}
