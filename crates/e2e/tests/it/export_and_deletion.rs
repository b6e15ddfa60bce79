//! A workspace's stored data: inventory, export, and deletion.

use std::collections::BTreeMap;
use std::io::Read;

use fantoccini::Locator;
use serde_json::Value;

use crate::chromium::Chromium;
use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

const EXPORT_PATH: &str = "/dashboard/data/export.tar";
const DELETE_PATH: &str = "/dashboard/data/delete";

impl TestApp {
    /// Starts an app with the bot in two workspaces, each with a conversation.
    async fn start_with_two_workspaces() -> Self {
        let app = Self::installed().await;
        app.simulator.add_team(BETA, "Beta");
        app.install_in(BETA).await;
        app.simulator.set_model_options("ttft=0&gap=0");
        let ts = app.send_dm(ADA, None, "say: Remember the heron.");
        assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Remember the heron.");
        app.send_dm_in_team(BETA, BETA_ADA, "say: The otter is a secret.");
        app.wait_for_query("select count(*) from events where outcome = 'answered'", "2").await;
        app
    }
}

/// Returns the rows of an archive by table, and the number of parts of each.
fn read_export(archive: &[u8]) -> BTreeMap<String, (usize, Vec<Value>)> {
    let mut tables: BTreeMap<String, (usize, Vec<Value>)> = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        let place: Vec<&str> = path.split('/').collect();
        assert!(place[0].starts_with("enablebot-T0ACME-"), "{path}");
        if let [_, table, _] = place[..] {
            let (parts, rows) = tables.entry(table.to_owned()).or_default();
            *parts += 1;
            rows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
        }
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn export_is_complete_without_secrets() {
    let app = TestApp::start_with_two_workspaces().await;
    app.database.query(
        "insert into ignored_events (tenant_id, event_id, outcome, reason, received_at)
         select 'T0ACME', 'Ev' || n, 'from_bot', 'from a bot', now() from generate_series(1, 2500) as n",
    );
    let ada = app.sign_in(ADA).await;
    let answer = app.send_form(EXPORT_PATH, Some(&ada), &[]).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"] == "application/x-tar"),
        (200, true)
    );
    let archive = answer.bytes().await.expect("all of it");
    let text = String::from_utf8_lossy(&archive);
    let token = app.simulator.installation(TEAM).expect("it is installed").token;
    assert!(!text.contains(&token) && !text.contains("xoxb") && !text.contains("bot_token"), "no token");
    assert!(
        !text.contains("\\\\x") && !text.contains("otter") && !text.contains(BETA),
        "nothing sealed, nothing of others"
    );

    let tables = read_export(&archive);
    let memory = &tables["chat_memory"].1;
    assert!(
        memory.len() == 2 && memory.iter().all(|row| row["text"].is_null() && row["withheld"].is_string())
    );
    assert_eq!(tables["people"].1[0]["name"], "Ada");
    assert_eq!(tables["ignored_events"].0, 3, "in parts of a thousand rows");
    let audited = tables["audit_log"].1.last().expect("an entry");
    assert_eq!((&audited["action"], &audited["actor"]), (&"data_exported".into(), &ADA.into()));
    // Every table with a tenant is on the page, and in the archive unless it holds keys.
    let page = app.get_page("/dashboard/data", Some(&ada)).await.text().await.expect("text");
    let stored = app.database.query(
        "select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where a.attname = 'tenant_id' and c.relkind in ('r', 'p') and not c.relispartition
           and c.relnamespace = 'enablebot'::regnamespace",
    );
    assert!(stored.lines().count() > 12 && page.contains("Conversations"), "{stored}");
    for table in stored.lines().filter(|table| !["sessions", "encryption_keys"].contains(table)) {
        assert!(tables.contains_key(table), "{table} is not in the archive");
        let kept = app.database.query(&format!("select count(*) from {table} where tenant_id = '{TEAM}'"));
        assert_eq!(tables[table].1.len().to_string(), kept, "{table}");
    }
    let noted =
        "select started_by, rows_done >= rows_total, finished_at is not null, failure_reason from exports";
    app.wait_for_query(noted, &format!("{ADA}|t|t|")).await;

    app.save_settings(&ada, &[("conversations", "on")]).await;
    let archive = app.send_form(EXPORT_PATH, Some(&ada), &[]).await.bytes().await.expect("all of it");
    let memory = &read_export(&archive)["chat_memory"].1;
    let words: Vec<&str> = memory.iter().filter_map(|row| row["text"].as_str()).collect();
    assert_eq!(words, ["say: Remember the heron.", "Remember the heron."]);
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn export_shows_progress_and_abort() {
    let app = TestApp::installed().await;
    app.database.query(
        "insert into ignored_events (tenant_id, event_id, outcome, reason, received_at)
         select 'T0ACME', 'Ev' || n, 'from_bot', 'from a bot', now() - n * interval '1 second'
         from generate_series(1, 150000) as n",
    );
    app.database.query("analyze ignored_events");
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    let folder = browser.allow_downloads().await;
    browser.client.goto(&format!("{}/dashboard/data", app.web.url())).await.expect("the page");
    browser.find_test_id("stored").await;
    browser.take_screenshots("data").await;
    browser.click("export").await;
    let bar = browser.find_css("progress[data-moving]").await;
    let done: u64 = bar.attr("value").await.ok().flatten().and_then(|value| value.parse().ok()).unwrap_or(0);
    let show = "document.querySelector('[data-testid=export]').scrollIntoView()";
    browser.client.execute(show, vec![]).await.expect("it is shown");
    browser.take_screenshots("data-export").await;
    assert!(done < 150_000, "{done}");
    let complete = Locator::XPath("//*[@data-testid='exports']//*[contains(., 'complete')]");
    browser.client.wait().at_most(TEST_TIMEOUT).for_element(complete).await.expect("it is complete");
    let saved = std::fs::read_dir(&folder).expect("a folder").next().expect("a file").expect("a file");
    assert!(
        read_export(&std::fs::read(saved.path()).expect("the archive"))["ignored_events"].1.len() >= 150_000
    );
    assert_eq!(browser.console_errors().await, Vec::<String>::new());

    let ada = app.sign_in(ADA).await;
    drop(app.send_form(EXPORT_PATH, Some(&ada), &[]).await);
    app.wait_for_query("select count(*) from exports where failure_reason = 'interrupted'", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_shows_progress_and_signed_receipt() {
    let app = TestApp::start_with_two_workspaces().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/data", app.web.url())).await.expect("the page");
    browser.type_into("workspace", "acme?").await;
    browser.click("delete").await;
    let told = browser.find_test_id("mistyped").await.text().await.expect("text");
    assert!(told.contains("acme?") && told.contains("Nothing was deleted"), "{told}");
    browser.take_screenshots("data-mistyped").await;
    assert_eq!(app.database.query("select count(*) from tenants"), "2");

    // A reply is in progress at this moment.
    app.simulator.set_model_options("ttft=0&gap=100&words=50");
    let (dm, ts) = (app.dm(ADA), app.send_dm(ADA, None, "tell me a story"));
    app.wait_reply_started(&dm, &ts).await;
    let name = app.database.query(&format!("select name from tenants where tenant_id = '{TEAM}'"));
    let field = browser.find_test_id("workspace").await;
    field.clear().await.expect("an empty field");
    field.send_keys(&name).await.expect("the name");
    browser.click("delete").await;
    browser.find_test_id("deleted").await;
    let steps = browser.find_test_id("steps").await.text().await.expect("text");
    assert!(steps.contains("Keys\n1") && steps.contains("Conversations\n2"), "{steps}");
    browser.take_screenshots("deleted").await;
    let receipt = browser.find_test_id("receipt").await.text().await.expect("text");
    assert!(receipt.contains(&format!("requested by {ADA} on the dashboard")), "{receipt}");
    let remove =
        browser.find_test_id("remove").await.attr("href").await.expect("a link").expect("an address");
    assert!(remove.ends_with("/apps/manage?team=T0ACME"), "{remove}");
    // The reply in progress has no channel to write to any more.
    app.wait_idle().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(app.tables_with_rows(), Vec::<String>::new());
    assert!(!app.api_logs().contains("panic"), "{}", app.api_logs());
    let proved = app.run_cli(&["tenants", "receipts", TEAM]);
    assert!(proved.contains("Signature valid"), "{proved}");

    browser.client.goto(&format!("{}/dashboard", app.web.url())).await.expect("the sign-in page");
    browser.find_test_id("sign-in-as").await;
    assert_eq!(app.database.query("select tenant_id from installations"), BETA);
    assert_eq!(app.database.query("select count(*) from chat_memory"), "2", "Beta's are still there");
    let ts = app.send_dm_in_team(BETA, BETA_ADA, "say: Still here.");
    app.wait_for_query(&format!("select outcome from events where message_ts = '{ts}'"), "answered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_is_idempotent_and_shown() {
    let app = TestApp::start().await;
    xtask::seed::seed(&app.settings.owner().web_variables()).expect("it is filled");
    let asked = app.database.query("select count(*), min(outcome), max(created_at) <= now() from usage");
    assert!(asked.ends_with("|answered|t"), "{asked}");
    let remembered = app.database.query("select count(distinct tenant_id), count(*) > 100 from chat_memory");
    assert_eq!(remembered, "2|t", "conversations to look at");
    xtask::seed::seed(&app.settings.owner().web_variables()).expect("nothing is to do");
    assert_eq!(
        app.database.query("select count(*), min(outcome), max(created_at) <= now() from usage"),
        asked
    );
    // Slack says who is an admin to the holder of a valid token only.
    app.install().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard?range=90d", app.web.url())).await.expect("the overview");
    browser.find_test_id("tiles").await;
    browser.take_screenshots("demo-overview").await;
    for (path, name) in [("events", "demo-events"), ("audit", "demo-audit"), ("data", "demo-data")] {
        browser.client.goto(&format!("{}/dashboard/{path}", app.web.url())).await.expect("the page");
        browser.find_css("table").await;
        browser.take_screenshots(name).await;
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn workspace_data_is_admin_only() {
    let app = TestApp::installed().await;
    let grace = app.sign_in(GRACE).await;
    let name = app.database.query("select name from tenants");
    for (cookie, status) in [(Some(grace.as_str()), 403), (None, 303)] {
        for path in ["/dashboard/data", "/dashboard/data/exports"] {
            assert_eq!(app.get_page(path, cookie).await.status(), status, "{path}");
        }
        assert_eq!(app.send_form(EXPORT_PATH, cookie, &[]).await.status(), status);
        assert_eq!(app.send_form(DELETE_PATH, cookie, &[("workspace", &name)]).await.status(), status);
    }
    let ada = app.sign_in(ADA).await;
    for wrong in [vec![("workspace", "")], vec![], vec![("workspace", "ACME")]] {
        assert_eq!(app.send_form(DELETE_PATH, Some(&ada), &wrong).await.status(), 422, "{wrong:?}");
    }
    assert_eq!(app.database.query("select count(*) from tenants, installations"), "1");
}
