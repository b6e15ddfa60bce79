//! People and conversations on the dashboard: access, personal facts for the model, and forgetting a person.

use crate::chromium::Chromium;
use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn edited_profile_reaches_prompt() {
    let app = TestApp::installed().await;
    for text in ["say: One.", "say: Two."] {
        let asked = app.send_dm(GRACE, None, text);
        app.wait_reply(&app.dm(GRACE), &asked).await;
    }
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/people", app.web.url())).await.expect("the page");
    let people = browser.find_test_id("people").await.text().await.expect("text");
    assert!(people.contains("Grace"), "{people}");
    browser.take_screenshots("people").await;
    browser.find_css("[data-testid=people] tbody a").await.click().await.expect("a click");
    browser.replace_text("role", "Compiler engineer").await;
    browser.replace_text("department", "Research").await;
    browser.take_screenshots("person").await;
    browser.click("save").await;
    browser.find_test_id("done").await;
    let asked = app.send_dm(GRACE, None, "say: Three.");
    app.wait_reply(&app.dm(GRACE), &asked).await;
    let told = app.last_prompt()[0]["content"].to_string();
    assert!(told.contains("Compiler engineer") && told.contains("Research"), "{told}");
    let sealed = app
        .database
        .query("select count(*) from people where encode(profile_override, 'escape') like '%Research%'");
    assert_eq!(sealed, "0");

    browser.click("sure").await;
    browser.click("forget").await;
    browser.find_test_id("empty").await;
    assert_eq!(app.database.query("select count(*) from chat_memory"), "0");
    assert_eq!(app.database.query("select count(*) from usage where user_id = 'forgotten'"), "3");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn member_sees_only_own_page() {
    let app = TestApp::installed().await;
    for user in [ADA, GRACE] {
        let asked = app.send_dm(user, None, "say: Mine.");
        app.wait_reply(&app.dm(user), &asked).await;
    }
    let browser = Chromium::start().await;
    browser.sign_in(&app, GRACE).await;
    browser.client.goto(&format!("{}/dashboard/people/me", app.web.url())).await.expect("the page");
    browser.find_test_id("profile").await;
    browser.take_screenshots("about-me").await;
    let member = app.sign_in(GRACE).await;
    let export_path = "/dashboard/people/me/export.json";
    assert_eq!(app.get_page(export_path, Some(&member)).await.status(), 405, "an export is audited");
    let export = app.send_form(export_path, Some(&member), &[]).await;
    assert_eq!(export.headers()["content-type"], "application/json");
    let export: serde_json::Value = export.json().await.expect("JSON");
    assert_eq!(export["conversations"].as_array().map(Vec::len), Some(2));
    assert_eq!(export["questions"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.get_page("/dashboard/people", Some(&member)).await.status(), 403);
    let others = format!("/dashboard/people/{ADA}");
    assert_eq!(app.get_page(&others, Some(&member)).await.status(), 404);
    for path in ["profile", "export.json", "forget"].map(|action| format!("{others}/{action}")) {
        assert_eq!(app.send_form(&path, Some(&member), &[]).await.status(), 404, "{path}");
    }
    browser.click("sure").await;
    browser.click("forget").await;
    browser.find_test_id("done").await;
    assert_eq!(app.database.query("select count(*) from chat_memory where user_id = 'U0ADA'"), "2");
    assert_eq!(app.database.query("select count(*) from chat_memory where user_id = 'U0GRACE'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_shown_only_if_enabled() {
    let app = TestApp::installed().await;
    let asked = app.post(GRACE, "general", None, "@bot say: The harbour opens at nine.");
    app.wait_reply("general", &asked).await;
    let asked = app.send_dm(ADA, None, "say: A secret of Ada's.");
    app.wait_reply(&app.dm(ADA), &asked).await;
    let (admin, member) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let path = app.database.query("select '/dashboard/conversations/' || channel_id || '/' || thread_ts from chat_memory where user_id = 'U0GRACE' limit 1");
    assert_eq!(app.get_page(&path, Some(&admin)).await.status(), 404, "it is off");
    let page = app.get_page("/dashboard/conversations", Some(&admin)).await.text().await.expect("text");
    assert!(page.contains("Conversation history is off") && !page.contains("harbour"), "{page}");

    app.save_settings(&admin, &[("conversations", "on")]).await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    let go = |path: &str| format!("{}{path}", app.web.url());
    browser.client.goto(&go("/dashboard/conversations")).await.expect("the page");
    let list = browser.find_test_id("conversations").await.text().await.expect("text");
    assert!(list.contains("harbour") && list.contains("secret"), "{list}");
    browser.take_screenshots("conversations").await;
    browser.replace_text("q", "HARBOUR").await;
    browser.click("search").await;
    let hits = browser.find_test_id("hits").await.text().await.expect("text");
    assert!(hits.contains("harbour opens at nine") && !hits.contains("secret"), "{hits}");
    browser.take_screenshots("conversations-search").await;
    browser.find_css("[data-testid=hits] a").await.click().await.expect("a click");
    let talk = browser.find_test_id("talk").await.text().await.expect("text");
    assert!(talk.contains("The harbour opens at nine.") && talk.contains("out tokens"), "{talk}");
    browser.take_screenshots("conversation").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    let read = "select actor from audit_log where action = 'conversation_read'";
    assert_eq!(app.database.query(read), ADA);

    let page = app.get_page("/dashboard/conversations", Some(&member)).await.text().await.expect("text");
    assert!(page.contains("harbour") && !page.contains("secret"), "{page}");
    let page =
        app.get_page("/dashboard/conversations?q=secret", Some(&member)).await.text().await.expect("text");
    assert!(page.contains("No results"), "{page}");
    let others = app.database.query("select '/dashboard/conversations/' || channel_id || '/' || thread_ts from chat_memory where user_id = 'U0ADA' limit 1");
    assert_eq!(app.get_page(&others, Some(&member)).await.status(), 404);
    assert_eq!(app.get_page(&path, Some(&member)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_pages_are_isolated() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    let asked = app.send_dm(GRACE, None, "say: Acme's own.");
    app.wait_reply(&app.dm(GRACE), &asked).await;
    app.save_settings(&app.sign_in(ADA).await, &[("conversations", "on")]).await;
    let path = app.database.query("select channel_id || '/' || thread_ts from chat_memory limit 1");
    let event = app.database.query("select event_id from events where kind = 'message'");
    let stranger = app.sign_in(BETA_ADA).await;
    app.save_settings(&stranger, &[("conversations", "on")]).await;
    for path in [
        format!("/dashboard/conversations/{path}"),
        format!("/dashboard/people/{GRACE}"),
        format!("/dashboard/events/{event}"),
    ] {
        assert_eq!(app.get_page(&path, Some(&stranger)).await.status(), 404, "{path}");
    }
    for path in [
        format!("/dashboard/people/{GRACE}/profile"),
        format!("/dashboard/people/{GRACE}/export.json"),
        format!("/dashboard/people/{GRACE}/forget"),
        format!("/dashboard/events/{event}/redrive"),
        format!("/dashboard/events/{event}/discard"),
    ] {
        assert_eq!(app.send_form(&path, Some(&stranger), &[]).await.status(), 404, "{path}");
    }
    let page =
        app.get_page("/dashboard/conversations?q=acme", Some(&stranger)).await.text().await.expect("text");
    assert!(page.contains("No results"), "{page}");
    assert_eq!(app.database.query("select count(*) from chat_memory"), "2");
}
