//! An installation up to the stored token, and every way in which it can fail.

use simulator::InjectedFault;

use crate::test_app::{ADA, TEAM, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn install_is_stored_and_welcomed() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    for attribute in ["HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(begun.cookie_attributes.contains(attribute), "{}", begun.cookie_attributes);
    }
    let back = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let page = app.finish_install(&back, Some(&begun.cookie)).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("a page").contains("EnableBot is now in Acme"));
    app.wait_idle().await;
    let stored = app
        .database
        .query("select tenant_id, name, installed_by from installations join tenants using (tenant_id)");
    assert_eq!(stored, format!("{TEAM}|Acme|{ADA}"));
    assert_eq!(app.database.query("select actor, action from audit_log"), format!("{ADA}|installed"));
    let welcome = app.simulator.messages(TEAM, &app.dm(ADA));
    assert_eq!(welcome.len(), 1);
    assert!(welcome[0].text.starts_with("Hello!"), "{welcome:?}");
    assert_eq!(app.database.query("select count(*) from oauth_states"), "0", "the state is used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn reinstall_replaces_token() {
    let app = TestApp::installed().await;
    app.install().await;
    assert_eq!(app.database.query("select count(*) from installations"), "1");
    let ts = app.send_dm(ADA, None, "say: Still here.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Still here.");
}

/// Asserts the text of an error page, and that nothing was stored.
async fn assert_install_refused(app: &TestApp, page: reqwest::Response, status: u16, title: &str) {
    assert_eq!(page.status(), status);
    let html = page.text().await.expect("a page");
    assert!(html.contains(title) && html.contains("/slack/install"), "{html}");
    assert_eq!(app.database.query("select count(*) from tenants"), "0");
    assert_eq!(app.database.query("select count(*) from events"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_install_stores_nothing() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let denied = app.simulator.deny(&begun.authorize_url).expect("denied");
    let page = app.finish_install(&denied, Some(&begun.cookie)).await;
    assert_install_refused(&app, page, 403, "The install was cancelled").await;

    let page = app.finish_install(&denied, Some(&begun.cookie)).await;
    assert_install_refused(&app, page, 400, "link has expired").await;
    for query in ["", "?code=x", "?state=forged&code=x", "?state=a&state=b"] {
        let page = app.get_page(&format!("/slack/oauth/callback{query}"), Some(&begun.cookie)).await;
        assert_install_refused(&app, page, 400, "link has expired").await;
    }

    let begun = app.begin_install().await;
    let allowed = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let page = app.finish_install(&allowed, None).await;
    assert_install_refused(&app, page, 400, "link has expired").await;
    let page = app.finish_install(&allowed, Some(&begun.cookie)).await;
    assert_install_refused(&app, page, 400, "link has expired").await;

    let begun = app.begin_install().await;
    let allowed = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let bad_code = allowed.replacen("code=", "code=not", 1);
    let page = app.finish_install(&bad_code, Some(&begun.cookie)).await;
    assert_install_refused(&app, page, 400, "Slack did not confirm").await;

    let begun = app.begin_install().await;
    let allowed = app.simulator.allow(&begun.authorize_url).expect("allowed");
    app.simulator.inject_fault("oauth.v2.access", InjectedFault::HttpStatus(503), 1);
    let page = app.finish_install(&allowed, Some(&begun.cookie)).await;
    assert_install_refused(&app, page, 502, "Slack is not responding").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_request_uses_up_no_state() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let allowed = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let path = allowed.split_once("/slack/").expect("the callback").1;
    for path in [&format!("slack/{path}"), "slack/install", "login", "login/callback?code=a&state=b"] {
        let request = app.http.head(format!("{}/{path}", app.web.url())).header("cookie", &begun.cookie);
        assert_eq!(request.send().await.expect("an answer").status(), 405, "{path}");
    }
    assert_eq!(app.finish_install(&allowed, Some(&begun.cookie)).await.status(), 200);
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_state_expires_after_ten_minutes() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    app.database.query("update oauth_states set expires_at = expires_at - interval '601 seconds'");
    let allowed = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let page = app.finish_install(&allowed, Some(&begun.cookie)).await;
    assert_install_refused(&app, page, 400, "link has expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn installs_in_two_tabs_both_finish() {
    let app = TestApp::start().await;
    let first = app.begin_install().await;
    let second = app.get_page("/slack/install", Some(&first.cookie)).await;
    let second = second.headers()["location"].to_str().expect("text").to_owned();
    for url in [first.authorize_url, second] {
        let allowed = app.simulator.allow(&url).expect("allowed");
        assert_eq!(app.finish_install(&allowed, Some(&first.cookie)).await.status(), 200);
    }
    app.wait_idle().await;
}
