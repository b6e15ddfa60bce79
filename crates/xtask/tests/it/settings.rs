//! How a workspace wants its bot: set on the dashboard, and noticed in Slack.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;

use crate::chromium::Chromium;
use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

impl TestApp {
    /// Changes settings from their defaults, as the page does it: reviewed, then saved.
    pub(crate) async fn set(&self, cookie: &str, changes: &[(&str, &str)]) {
        let mut fields = vec![("follow_ups", "on"), ("feedback", "on")];
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let review = self.send_form("/dashboard/settings/review", Some(cookie), &fields).await;
        assert_eq!(review.status(), 200);
        let page = review.text().await.expect("text");
        let seen = page.split_once("name=\"seen\" value=\"").expect("a mark").1;
        fields.push(("seen", seen.split('"').next().expect("a value")));
        let saved = self.send_form("/dashboard/settings", Some(cookie), &fields).await;
        assert_eq!(saved.status(), 303, "{:?}", self.web.lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_what_a_change_does_before_it_is_saved() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/settings", app.web.url())).await.expect("the page");
    browser.picture("settings").await;
    browser.fill("facts", "We sell tea in Lisbon.").await;
    browser.fill("budget", "a lot").await;
    browser.fill("channels", "#general").await;
    browser.find("tone").await.select_by_value("formal").await.expect("a tone");
    browser.click("review").await;
    let wrong = browser.find("wrong").await.text().await.expect("text");
    assert!(wrong.contains("2 fields are to be mended"), "{wrong}");
    browser.picture("settings-wrong").await;
    // What was written is still there.
    let facts = browser.find("facts").await.prop("value").await.expect("a value");
    assert_eq!(facts.as_deref(), Some("We sell tea in Lisbon."));
    browser.fill("budget", "12.50").await;
    browser.fill("channels", "").await;
    browser.click("conversations").await;
    browser.click("review").await;
    let changes = browser.find("changes").await.text().await.expect("text");
    assert!(changes.contains("none → 12.50") && changes.contains("$12.50 are left"), "{changes}");
    assert!(changes.contains("as the model speaks → formal"), "{changes}");
    assert_eq!(app.database.ask("select count(*) from settings"), "0", "nothing is saved yet");
    browser.picture("settings-review").await;
    browser.click("save").await;
    browser.find("saved").await;
    // Chromium counts the page that told what was wrong.
    let mut errors = browser.console_errors().await;
    errors.retain(|error| !error.contains("422"));
    assert_eq!(errors, Vec::<String>::new());

    let asked = app.say(GRACE, None, "say: Yes.");
    app.reply(&app.dm(GRACE), &asked).await;
    let told = app.last_prompt()[0]["content"].to_string();
    assert!(told.contains("We sell tea in Lisbon.") && told.contains("politely and formally"), "{told}");
    let entry = app.database.ask("select actor, detail from audit_log where action = 'settings_changed'");
    assert!(entry.starts_with(ADA) && entry.contains("budget") && !entry.contains("Lisbon"), "{entry}");
    let sealed = app.database.ask("select encode(body, 'escape') from settings");
    assert!(!sealed.contains("Lisbon"), "{sealed}");
    let member = app.sign_in(GRACE).await;
    assert_eq!(app.get("/dashboard/settings", Some(&member)).await.status(), 403);
    assert_eq!(app.send_form("/dashboard/settings", Some(&member), &[]).await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_who_change_something_at_once_both_see_what_the_other_did() {
    let app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    app.set(&admin, &[("facts", "One.")]).await;
    let late = [("facts", "Two."), ("follow_ups", "on"), ("feedback", "on"), ("seen", "1")];
    let answer = app.send_form("/dashboard/settings", Some(&admin), &late).await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.expect("text");
    assert!(page.contains("Somebody changed the settings meanwhile") && page.contains("One."), "{page}");
    app.set(&admin, &[("facts", "Two.")]).await;
    assert_eq!(app.database.ask("select count(*) from audit_log where action = 'settings_changed'"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_only_where_and_how_the_workspace_wants() {
    let app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    let quiet = [("channels", "C0RANDOM"), ("follow_ups", ""), ("feedback", "")];
    app.set(&admin, &quiet).await;
    let asked = app.post(GRACE, "general", None, "@bot say: No.");
    let outcome = format!("select outcome, reason from events where message_ts = '{asked}'");
    app.becomes(&outcome, "refused|channel not allowed").await;
    let told = app.simulator.ephemerals(TEAM, "general");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(app.bots("general", &asked).is_empty());
    let asked = app.say(GRACE, None, "say: Here.");
    let reply = app.replies(&app.dm(GRACE), &asked, 1).await.remove(0);
    assert!(!format!("{:?}", reply.blocks).contains("feedback"), "{reply:?}");

    app.set(&admin, &[("follow_ups", "")]).await;
    let asked = app.post(GRACE, "general", None, "@bot say: One.");
    app.reply("general", &asked).await;
    let passed = app.post(GRACE, "general", Some(&asked), "say: Two.");
    let outcome = format!("select outcome from events where message_ts = '{passed}'");
    app.becomes(&outcome, "not_addressed").await;
    let again = app.post(GRACE, "general", Some(&asked), "@bot say: Three.");
    app.becomes(&format!("select outcome from events where message_ts = '{again}'"), "answered").await;
    let shown: Vec<String> = app.bots("general", &asked).iter().map(simulator::Message::shown).collect();
    assert_eq!(shown, ["One.", "Three."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_told_of_before_it_is_used_up_and_then_ends_the_answers() {
    let app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    app.set(&admin, &[("budget", "0.01"), ("budget_told", GRACE)]).await;
    let asked = app.say(ADA, None, "say: Cheap.");
    app.reply(&app.dm(ADA), &asked).await;
    app.becomes("select cost_micros > 0 and first_word_ms <= answer_ms from usage", "t").await;
    app.database.ask("update usage set cost_micros = 8500");
    let asked = app.say(ADA, None, "say: Near the end.");
    app.reply(&app.dm(ADA), &asked).await;
    let told = || {
        app.simulator.calls().iter().filter(|call| call.args.to_string().contains("More than 80 %")).count()
    };
    // Whoever is told of it hears it after the answer.
    let answered = Instant::now();
    while told() == 0 && answered.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(told(), 1);
    app.database.ask("update usage set cost_micros = 5000");
    let asked = app.say(ADA, None, "say: Too much.");
    let refusal = app.reply(&app.dm(ADA), &asked).await;
    assert!(refusal.contains("is used up"), "{refusal}");
    let outcome = format!("select outcome, reason from events where message_ts = '{asked}'");
    app.becomes(&outcome, "refused|over budget").await;
    let warned = "select count(*) from audit_log where action = 'budget_warned'";
    assert_eq!(app.database.ask(warned), "1");
    let page = app.get("/dashboard", Some(&admin)).await.text().await.expect("text");
    assert!(page.contains("left of $0.01 this month") && page.contains("over budget"), "{page}");
    app.set(&admin, &[]).await;
    let asked = app.say(ADA, None, "say: Again.");
    assert_eq!(app.reply(&app.dm(ADA), &asked).await, "Again.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_workspace_wants_is_forgotten() {
    let mut app = TestApp::installed().await;
    let admin = app.sign_in(ADA).await;
    for text in ["say: Old.", "say: New."] {
        let asked = app.say(GRACE, None, text);
        app.reply(&app.dm(GRACE), &asked).await;
    }
    app.database.ask(
        "update turns set created_at = now() - interval '8 days' where seq = (select min(seq) from turns)",
    );
    app.set(&admin, &[("memory_days", "7")]).await;
    // A replica that starts looks at once.
    app.add_api(free_port().expect("a port"), &[]);
    app.becomes("select count(*) from turns", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_workspaces_own_is_tried_before_it_is_kept() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/settings", app.web.url())).await.expect("the page");
    browser.write("key", "sk-unknown").await;
    browser.click("save-key").await;
    let problem = browser.find("key-problem").await.text().await.expect("text");
    assert!(problem.contains("was not saved") && problem.contains("refused the key (401)"), "{problem}");
    assert_eq!(app.database.ask("select count(*) from settings where model_key is not null"), "0");
    browser.write("key", "sk-good-and-own-1234").await;
    browser.click("save-key").await;
    browser.find("saved").await;
    let told = browser.find("model-key").await.text().await.expect("text");
    assert!(told.contains("…1234") && !told.contains("sk-good"), "{told}");
    assert_eq!(
        app.database.ask("select count(*) from settings where encode(model_key, 'escape') like '%sk-good%'"),
        "0"
    );

    // With a key of its own the workspace has any model.
    let admin = app.sign_in(ADA).await;
    app.set(&admin, &[("models", "offline?say=x, another")]).await;
    let asked = app.say(GRACE, None, "say: Paid by us.");
    app.reply(&app.dm(GRACE), &asked).await;
    let request = app.simulator.model_requests().pop().expect("the model was asked");
    assert_eq!(request["model"], "offline?say=x");
    browser.click("remove-key").await;
    app.becomes("select count(*) from settings where model_key is not null", "0").await;
    let refused = app.send_form("/dashboard/settings/review", Some(&admin), &[("models", "another")]).await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.expect("text");
    assert!(page.contains("This server has no another. It has: offline"), "{page}");
}
