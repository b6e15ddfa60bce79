//! The dashboard's pages about API keys and their usage.

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::test_app::{ADA, BETA, GRACE, TEST_TIMEOUT, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn api_key_is_shown_once() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.find(Locator::LinkText("API keys")).await.expect("a link").click().await.expect("a click");
    browser.find_test_id("empty").await;
    browser.take_screenshots("api-keys-empty").await;
    browser.type_into("name", "Intranet search").await;
    browser.click("people").await;
    browser.click("create").await;
    let key = browser.find_test_id("secret").await.text().await.expect("text");
    assert!(key.starts_with("eb_") && key.len() >= 43, "{key}");
    browser.take_screenshots("api-keys-made").await;

    let answer = app.chat(&key, json!({ "message": "say: Good morning." })).await;
    assert_eq!(answer["answer"], "Good morning.");
    browser.client.goto(&format!("{}/dashboard/api-keys", app.web.url())).await.expect("the page");
    let row = browser.find_test_id("keys").await.text().await.expect("text");
    assert!(row.contains("Intranet search") && row.contains("chat:people"), "{row}");
    let page = browser.client.source().await.expect("the page");
    assert!(!page.contains(&key) && page.contains(&key[key.len() - 4..]), "it is not shown again");
    assert!(!row.contains("never"), "it was used: {row}");
    browser.take_screenshots("api-keys").await;
    browser.click("how").await;
    browser.find_test_id("problems").await;
    browser.take_screenshots("api-docs").await;
    let problem = format!("{}/dashboard/api#over-limit", app.web.url());
    browser.client.goto(&problem).await.expect("the same page");
    browser.take_screenshots("api-docs-problem").await;

    browser.client.goto(&format!("{}/dashboard/api-keys", app.web.url())).await.expect("the page");
    browser.click("revoke").await;
    browser.find_css("tr.gone").await;
    browser.take_screenshots("api-keys-revoked").await;
    let (status, told) = app.chat_problem(&key, json!({ "message": "say: Still there?" })).await;
    assert_eq!((status, told.contains("revoked")), (401, true), "{told}");
    let deeds = "select string_agg(action || ' ' || actor, ', ' order by entry_id) from audit_log
                 where action like 'api_key%' and detail ->> 'key_id' = (select key_id::text from api_keys)";
    assert_eq!(app.database.query(deeds), format!("api_key_created {ADA}, api_key_revoked {ADA}"));
    let kept = app.database.query("select encode(digest, 'escape'), k.* from api_keys k");
    assert!(!kept.contains(&key[3..]), "{kept}");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn api_key_creation_is_idempotent_and_admin_only() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let fields = "key_id=0199a5b2-c3d4-7e6f-8091-a2b3c4d5e6f7&name=Wiki&chat=on";
    let (status, page) = app.post_fields("/dashboard/api-keys", &ada, fields).await;
    assert_eq!((status, page.contains("data-testid=\"secret\"")), (201, true));
    let (status, page) = app.post_fields("/dashboard/api-keys", &ada, fields).await;
    assert_eq!((status, page.contains("eb_")), (303, false), "loaded again");
    for (wrong, told) in
        [("name=+&chat=on", "Enter a name that says"), ("name=Wiki", "Select at least one scope")]
    {
        let (status, page) = app.post_fields("/dashboard/api-keys", &ada, wrong).await;
        assert_eq!((status, page.contains(told)), (400, true), "{wrong}");
    }
    assert_eq!(app.database.query("select count(*) from api_keys"), "1");

    for path in ["/dashboard/api-keys", "/dashboard/api-keys/0199a5b2-c3d4-7e6f-8091-a2b3c4d5e6f7/revoke"] {
        assert_eq!(app.post_fields(path, &grace, "name=Mine&chat=on").await.0, 403, "she is no admin");
    }
    assert_eq!(app.get_page("/dashboard/api-keys", Some(&grace)).await.status(), 403);
    assert_eq!(
        app.get_page("/dashboard/api", Some(&grace)).await.status(),
        200,
        "how it is used is no secret"
    );
    assert_eq!(app.get_page("/dashboard/api", None).await.status(), 303);
    let foreign = "insert into api_keys (key_id, tenant_id, name, digest, hint, scopes, created_by)
         values ('11111111-2222-4333-8444-555555555555', 'T0BETA', 'Theirs', 'x', 'abcd', '{chat}', 'U0ADABETA')";
    app.database.query(foreign);
    for unknown in ["11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-666666666666", "x"] {
        let path = format!("/dashboard/api-keys/{unknown}/revoke");
        assert_eq!(app.post_fields(&path, &ada, "").await.0, 404, "{unknown}");
    }
    let theirs = app.get_page("/dashboard/api-keys", Some(&ada)).await.text().await.expect("text");
    assert!(theirs.contains("Wiki") && !theirs.contains("Theirs"));
    assert_eq!(app.database.query("select count(*) from api_keys where revoked_at is not null"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_and_docs_page_list_every_status() {
    let app = TestApp::installed().await;
    let url = format!("{}/api/openapi.json", app.apis[0].url());
    let answer = app.http.get(url).timeout(TEST_TIMEOUT).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let described: Value = answer.json().await.expect("JSON");
    assert!(described["openapi"].as_str().expect("a version").starts_with("3.1"), "{described}");
    let operation = &described["paths"]["/api/chat"]["post"];
    let statuses: Vec<&String> = operation["responses"].as_object().expect("responses").keys().collect();
    let expected =
        ["200", "400", "401", "403", "404", "408", "409", "413", "415", "429", "502", "503", "504"];
    assert_eq!(statuses, expected);
    let schemas = &described["components"]["schemas"];
    for (schema, field) in [
        ("ChatRequest", "/properties/conversation_id"),
        ("ChatEnd", "/properties/usage"),
        ("ChatDelta", "/properties/text"),
        ("ChatUsage", "/properties/prompt_tokens"),
        ("Problem", "/properties/type"),
    ] {
        assert!(schemas[schema].pointer(field).is_some(), "{schema}{field}: {}", schemas[schema]);
    }
    assert_eq!(schemas["ChatRequest"]["required"], json!(["message"]));
    assert!(described.pointer("/components/securitySchemes/key").is_some());
    let cookie = app.sign_in(GRACE).await;
    let page = app.get_page("/dashboard/api", Some(&cookie)).await.text().await.expect("text");
    for status in &expected[1..] {
        assert!(page.contains(&format!("<td>{status}</td>")), "the page lacks {status}");
    }
    for field in schemas["ChatRequest"]["properties"].as_object().expect("fields").keys() {
        assert!(page.contains(&format!("<code>{field}</code>")), "the page lacks {field}");
    }
}
