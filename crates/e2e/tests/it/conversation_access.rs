//! Who may read what people wrote: nobody while conversations are off, and never unnoticed.

use serde_json::Value;

use crate::test_app::{ADA, GRACE, TestApp};

const WORKSPACE_EXPORT: &str = "/dashboard/data/export.tar";

impl TestApp {
    /// Starts an app with an answered message of each, and one of Grace's that failed, whose text is kept.
    async fn start_with_private_messages() -> Self {
        let app = Self::start_with_operators("T0ACME/U0ADA").await;
        let asked = app.send_dm(GRACE, None, "say: The private heron.");
        app.wait_reply(&app.dm(GRACE), &asked).await;
        let own = app.send_dm(ADA, None, "say: Ada's own.");
        app.wait_reply(&app.dm(ADA), &own).await;
        app.simulator.set_model_options("fail=400");
        let failed = app.send_dm(GRACE, None, "say: The failed heron.");
        let outcome = format!("select outcome from events where message_ts = '{failed}'");
        app.wait_for_query(&outcome, "set_aside").await;
        app.simulator.set_model_options("ttft=0&gap=0");
        app
    }

    async fn export_workspace(&self, cookie: &str) -> String {
        let answer = self.send_form(WORKSPACE_EXPORT, Some(cookie), &[]).await;
        assert_eq!(answer.status(), 200);
        String::from_utf8_lossy(&answer.bytes().await.expect("all of it")).into_owned()
    }

    async fn export_person(&self, user: &str, cookie: &str) -> Value {
        let path = format!("/dashboard/people/{user}/export.json");
        let answer = self.send_form(&path, Some(cookie), &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// Returns the bot's direct messages to a person about exports.
    fn export_notices(&self, user: &str) -> Vec<String> {
        let dm = self.dm(user);
        let calls = self.slack_calls("chat.postMessage").into_iter();
        let notices = calls.filter(|call| call.args["channel"] == dm.as_str());
        notices.map(|call| call.args.to_string()).filter(|text| text.contains("exported")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn off_hides_messages_from_everyone_else() {
    let app = TestApp::start_with_private_messages().await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let archive = app.export_workspace(&ada).await;
    assert!(!archive.contains("heron"), "the workspace's export");
    assert!(archive.contains("\"withheld\":") && archive.contains("is off in this workspace"), "it says why");
    let export = app.export_person(GRACE, &ada).await;
    assert!(!export.to_string().contains("heron"), "{export}");
    let why = export["conversations_withheld"].as_str().expect("a reason");
    assert!(why.contains("is off in this workspace"), "{why}");
    let own = app.export_person("me", &grace).await;
    assert!(own.to_string().contains("heron") && own.get("conversations_withheld").is_none(), "{own}");

    let thread = app
        .database
        .query("select channel_id || '/' || thread_ts from chat_memory where user_id = 'U0GRACE' limit 1");
    let failed = app.database.query("select event_id from events where outcome = 'set_aside'");
    let pages = [
        "/dashboard".to_owned(),
        "/dashboard/conversations".to_owned(),
        "/dashboard/conversations?q=heron".to_owned(),
        format!("/dashboard/conversations/{thread}"),
        format!("/dashboard/people/{GRACE}"),
        "/dashboard/events".to_owned(),
        format!("/dashboard/events/{failed}"),
        "/dashboard/audit.csv".to_owned(),
        "/operators/tenants/T0ACME".to_owned(),
        "/operators/queue".to_owned(),
    ];
    for path in pages {
        let (_, page) = app.get_page_text(&path, &ada).await;
        assert!(!page.contains("The private heron") && !page.contains("The failed heron"), "{path}: {page}");
    }
    for command in [["events", "list", "T0ACME", ""], ["events", "show", "T0ACME", &failed]] {
        let arguments: Vec<&str> = command.into_iter().filter(|word| !word.is_empty()).collect();
        let output = app.run_cli(&arguments);
        assert!(output.contains(&failed) && !output.contains("heron"), "{output}");
    }
    app.wait_idle().await;
    assert_eq!(app.export_notices(ADA), Vec::<String>::new(), "nothing was read");
    let read = "select count(*) from audit_log where action = 'conversation_read'";
    assert_eq!(app.database.query(read), "0");
    app.run_cli(&["events", "discard", "T0ACME", &failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn export_of_messages_is_announced() {
    let app = TestApp::start_with_private_messages().await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    app.save_settings(&ada, &[("conversations", "on")]).await;
    app.export_person("me", &grace).await;
    app.export_person("me", &ada).await;
    app.wait_idle().await;
    assert_eq!(app.export_notices(ADA), Vec::<String>::new(), "people may take their own data");

    let export = app.export_person(GRACE, &ada).await;
    assert!(export.to_string().contains("The private heron."), "{export}");
    let archive = app.export_workspace(&ada).await;
    assert!(archive.contains("The private heron.") && archive.contains("The failed heron."), "all of it");
    let notices = "select count(*) from events where kind = 'export_notice' and outcome = 'done'";
    app.wait_for_query(notices, "2").await;
    let told = app.export_notices(ADA);
    assert!(told.len() == 2 && told.iter().all(|text| text.contains(&format!("<@{ADA}>"))), "{told:?}");
    let of = |whose: &str| told.iter().any(|text| text.contains(whose));
    assert!(of(&format!("the conversations of <@{GRACE}>")) && of("all data of this workspace"), "{told:?}");
    assert_eq!(app.export_notices(GRACE), Vec::<String>::new(), "she manages nothing");
    let read = "select string_agg(actor || ' ' || (detail->>'export_of'), ',' order by entry_id)
                from audit_log where action = 'conversation_read'";
    assert_eq!(app.database.query(read), format!("{ADA} {GRACE},{ADA} everybody"));

    app.save_settings(&ada, &[]).await;
    assert!(!app.export_workspace(&ada).await.contains("heron"), "it is off again");
    let failed = app.database.query("select event_id from events where outcome = 'set_aside'");
    app.run_cli(&["events", "discard", "T0ACME", &failed]);
}
