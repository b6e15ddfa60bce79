//! A workspace's settings: changed on the dashboard, effective in Slack.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;

use crate::chromium::Chromium;
use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Changes settings from their defaults as the page does: review, then save.
    pub(crate) async fn save_settings(&self, cookie: &str, changes: &[(&str, &str)]) {
        let mut fields = vec![("follow_ups", "on"), ("feedback", "on")];
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let review = self.send_form("/dashboard/settings/review", Some(cookie), &fields).await;
        assert_eq!(review.status(), 200);
        let page = review.text().await.expect("text");
        let seen = page.split_once("name=\"seen\" value=\"").expect("a mark").1;
        fields.push(("seen", seen.split('"').next().expect("a value")));
        let saved = self.send_form("/dashboard/settings", Some(cookie), &fields).await;
        assert_eq!(saved.status(), 303, "{:?}", self.web.log_lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_is_reviewed_before_save() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/settings", app.web.url())).await.expect("the page");
    browser.take_screenshots("settings").await;
    browser.replace_text("facts", "We sell tea in Lisbon.").await;
    browser.replace_text("budget", "a lot").await;
    browser.replace_text("channels", "#general").await;
    browser.find_test_id("tone").await.select_by_value("formal").await.expect("a tone");
    browser.click("review").await;
    let wrong = browser.find_test_id("wrong").await.text().await.expect("text");
    assert!(wrong.contains("Fix the 2 fields below"), "{wrong}");
    browser.take_screenshots("settings-wrong").await;
    // The entered text is still there.
    let facts = browser.find_test_id("facts").await.prop("value").await.expect("a value");
    assert_eq!(facts.as_deref(), Some("We sell tea in Lisbon."));
    browser.replace_text("budget", "12.50").await;
    browser.replace_text("channels", "").await;
    browser.click("conversations").await;
    browser.click("review").await;
    let changes = browser.find_test_id("changes").await.text().await.expect("text");
    assert!(changes.contains("none → 12.50") && changes.contains("$12.50 remaining"), "{changes}");
    assert!(changes.contains("model default → formal"), "{changes}");
    assert_eq!(app.database.query("select count(*) from settings"), "0", "nothing is saved yet");
    browser.take_screenshots("settings-review").await;
    browser.click("save").await;
    browser.find_test_id("saved").await;
    // Chromium reports the page with validation errors as an error.
    let mut errors = browser.console_errors().await;
    errors.retain(|error| !error.contains("422"));
    assert_eq!(errors, Vec::<String>::new());

    let asked = app.send_dm(GRACE, None, "say: Yes.");
    app.wait_reply(&app.dm(GRACE), &asked).await;
    let told = app.last_prompt()[0]["content"].to_string();
    assert!(told.contains("We sell tea in Lisbon.") && told.contains("politely and formally"), "{told}");
    let entry = app.database.query("select actor, detail from audit_log where action = 'settings_changed'");
    assert!(entry.starts_with(ADA) && entry.contains("budget") && !entry.contains("Lisbon"), "{entry}");
    let sealed = app.database.query("select encode(body, 'escape') from settings");
    assert!(!sealed.contains("Lisbon"), "{sealed}");
    let member = app.sign_in(GRACE).await;
    assert_eq!(app.get_page("/dashboard/settings", Some(&member)).await.status(), 403);
    assert_eq!(app.send_form("/dashboard/settings", Some(&member), &[]).await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_settings_edit_is_detected() {
    let app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    app.save_settings(&admin, &[("facts", "One.")]).await;
    let late = [("facts", "Two."), ("follow_ups", "on"), ("feedback", "on"), ("seen", "1")];
    let answer = app.send_form("/dashboard/settings", Some(&admin), &late).await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.expect("text");
    assert!(page.contains("Someone else changed the settings") && page.contains("One."), "{page}");
    app.save_settings(&admin, &[("facts", "Two.")]).await;
    assert_eq!(app.database.query("select count(*) from audit_log where action = 'settings_changed'"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_and_reply_settings_are_applied() {
    let app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    let quiet = [("channels", "C0RANDOM"), ("follow_ups", ""), ("feedback", "")];
    app.save_settings(&admin, &quiet).await;
    let asked = app.post(GRACE, "general", None, "@bot say: No.");
    let outcome = format!("select outcome, reason from events where message_ts = '{asked}'");
    app.wait_for_query(&outcome, "refused|channel not allowed").await;
    let told = app.simulator.ephemerals(TEAM, "general");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(app.bot_messages("general", &asked).is_empty());
    let asked = app.send_dm(GRACE, None, "say: Here.");
    let reply = app.wait_replies(&app.dm(GRACE), &asked, 1).await.remove(0);
    assert!(!format!("{:?}", reply.blocks).contains("feedback"), "{reply:?}");

    app.save_settings(&admin, &[("follow_ups", "")]).await;
    let asked = app.post(GRACE, "general", None, "@bot say: One.");
    app.wait_reply("general", &asked).await;
    let passed = app.post(GRACE, "general", Some(&asked), "say: Two.");
    let outcome = format!("select outcome from events where message_ts = '{passed}'");
    app.wait_for_query(&outcome, "not_addressed").await;
    let again = app.post(GRACE, "general", Some(&asked), "@bot say: Three.");
    app.wait_for_query(&format!("select outcome from events where message_ts = '{again}'"), "answered").await;
    let shown: Vec<String> =
        app.bot_messages("general", &asked).iter().map(simulator::SlackMessage::visible_text).collect();
    assert_eq!(shown, ["One.", "Three."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn budget_warns_then_refuses() {
    let app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    app.save_settings(&admin, &[("budget", "0.01"), ("budget_told", GRACE)]).await;
    let asked = app.send_dm(ADA, None, "say: Cheap.");
    app.wait_reply(&app.dm(ADA), &asked).await;
    app.wait_for_query("select cost_micros > 0 and first_token_ms <= total_ms from usage", "t").await;
    app.database.query("update usage set cost_micros = 8500");
    let asked = app.send_dm(ADA, None, "say: Near the end.");
    app.wait_reply(&app.dm(ADA), &asked).await;
    let told = || {
        app.simulator.calls().iter().filter(|call| call.args.to_string().contains("More than 80 %")).count()
    };
    // The notice comes after the reply.
    let answered = Instant::now();
    while told() == 0 && answered.elapsed() < TEST_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(told(), 1);
    app.database.query("update usage set cost_micros = 5000");
    let asked = app.send_dm(ADA, None, "say: Too much.");
    let refusal = app.wait_reply(&app.dm(ADA), &asked).await;
    assert!(refusal.contains("has used its monthly budget"), "{refusal}");
    let outcome = format!("select outcome, reason from events where message_ts = '{asked}'");
    app.wait_for_query(&outcome, "refused|over budget").await;
    let warned = "select count(*) from audit_log where action = 'budget_warned'";
    assert_eq!(app.database.query(warned), "1");
    let page = app.get_page("/dashboard", Some(&admin)).await.text().await.expect("text");
    assert!(page.contains("of $0.01 monthly budget used") && page.contains("over budget"), "{page}");
    app.save_settings(&admin, &[]).await;
    let asked = app.send_dm(ADA, None, "say: Again.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &asked).await, "Again.");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_days_setting_deletes_old_messages() {
    let mut app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    for text in ["say: Old.", "say: New."] {
        let asked = app.send_dm(GRACE, None, text);
        app.wait_reply(&app.dm(GRACE), &asked).await;
    }
    app.database.query(
        "update chat_memory set created_at = now() - interval '8 days' where seq = (select min(seq) from chat_memory)",
    );
    app.save_settings(&admin, &[("memory_days", "7")]).await;
    // A new replica checks at once.
    app.add_api(free_port().expect("a port"), &[]);
    app.wait_for_query("select count(*) from chat_memory", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workspace_model_key_is_checked_before_save() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/settings", app.web.url())).await.expect("the page");
    browser.type_into("key", "sk-unknown").await;
    browser.click("save-key").await;
    let problem = browser.find_test_id("key-problem").await.text().await.expect("text");
    assert!(problem.contains("was not saved") && problem.contains("refused the key (401)"), "{problem}");
    assert_eq!(app.database.query("select count(*) from settings where model_key is not null"), "0");
    browser.type_into("key", "sk-good-and-own-1234").await;
    browser.click("save-key").await;
    browser.find_test_id("saved").await;
    let told = browser.find_test_id("model-key").await.text().await.expect("text");
    assert!(told.contains("…1234") && !told.contains("sk-good"), "{told}");
    assert_eq!(
        app.database
            .query("select count(*) from settings where encode(model_key, 'escape') like '%sk-good%'"),
        "0"
    );

    // With its own API key the workspace may use any model.
    let admin = app.sign_in(ADA).await;
    app.save_settings(&admin, &[("models", "offline?say=x, another")]).await;
    let asked = app.send_dm(GRACE, None, "say: Paid by us.");
    app.wait_reply(&app.dm(GRACE), &asked).await;
    let request = app.simulator.model_requests().pop().expect("the model was asked");
    assert_eq!(request["model"], "offline?say=x");
    browser.click("remove-key").await;
    app.wait_for_query("select count(*) from settings where model_key is not null", "0").await;
    let refused = app.send_form("/dashboard/settings/review", Some(&admin), &[("models", "another")]).await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.expect("text");
    assert!(page.contains("another is not available on this server. Available: offline"), "{page}");
}
