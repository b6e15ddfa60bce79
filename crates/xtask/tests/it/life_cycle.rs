//! How a workspace leaves, in any order of events, and how it comes back.

use serde_json::{Value, json};
use simulator::Fault;

use crate::test_app::{ADA, TEAM, TestApp};

const BOT: &str = "U0BOT0ACME";

fn app_uninstalled() -> Value {
    json!({"type": "app_uninstalled"})
}

fn tokens_revoked() -> Value {
    json!({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOT]}})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "channel": "D0ADA", "channel_type": "im", "user": ADA, "text": text,
           "ts": format!("{}.000100", now()), "team": TEAM})
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

impl TestApp {
    /// Delivers an event of this time, signed, whatever the simulated Slack thinks of the app.
    async fn deliver_of(&self, event_time: i64, event: Value) {
        let body = json!({
            "type": "event_callback", "event_id": format!("Ev{}", uuid::Uuid::new_v4().simple()),
            "event_time": event_time, "team_id": TEAM, "event": event,
            "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": BOT, "is_bot": true,
                                "is_enterprise_install": false}],
        });
        assert_eq!(self.simulator.deliver_raw(body.to_string()).await.expect("an answer"), 200);
    }

    /// The tables, apart from the audit log and the head of its chain, that still hold something of the tenant.
    pub(crate) fn tables_with_rows(&self) -> Vec<String> {
        let tables = self.database.ask(
            "select table_name from information_schema.columns
             where table_schema = 'enablebot' and column_name = 'tenant_id' and table_name not in ('audit_log', 'audit_chains')",
        );
        assert!(tables.lines().count() > 8, "{tables}");
        let has_rows = |table: &&str| {
            self.database.ask(&format!("select count(*) from {table} where tenant_id = '{TEAM}'")) != "0"
        };
        tables.lines().filter(has_rows).map(str::to_owned).collect()
    }

    /// Waits until all of the tenant is gone.
    async fn gone(&self) {
        self.becomes("select count(*) from tenants", "0").await;
        self.idle().await;
        assert_eq!(self.tables_with_rows(), Vec::<String>::new());
    }

    /// The newest receipt of a deletion, its signature checked.
    fn receipt(&self) -> Value {
        let receipts = self.operate(&["tenants", "receipts", TEAM]);
        let newest = receipts.split("\n\n").last().expect("a receipt");
        let (receipt, verdict) = newest.split_once("\n}\n").expect("a receipt and a verdict");
        assert!(verdict.starts_with("The signature is right"), "{receipts}");
        serde_json::from_str(&format!("{receipt}}}")).expect("JSON")
    }

    /// Asks something in Ada's DM and is answered.
    async fn is_answered(&self, text: &str) -> String {
        let dm = self.dm(ADA);
        let ts = self.say(ADA, None, &format!("say: {text}"));
        assert_eq!(self.reply(&dm, &ts).await, text);
        ts
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_uninstall_nothing_is_left_but_a_receipt_that_can_be_proved() {
    let app = TestApp::installed().await;
    let ts = app.is_answered("Remember the heron.").await;
    app.post(ADA, "general", None, "of no interest");
    let reply = app.bots(&app.dm(ADA), &ts).remove(0);
    let event = app.database.ask("select event_id from events where kind = 'message'");
    let liked = format!("positive:{event}");
    let clicked = app.simulator.click(TEAM, ADA, &app.dm(ADA), &reply.ts, "feedback", Some(&liked)).await;
    assert_eq!(clicked.expect("it is there"), 200);
    app.becomes("select count(*) from feedback", "1").await;
    app.becomes("select count(*) from ignored_events where outcome = 'not_addressed'", "1").await;

    app.simulator.uninstall(TEAM);
    app.acknowledged("tokens_revoked", 1).await;
    app.gone().await;
    let receipt = app.receipt();
    assert_eq!((&receipt["tenant_id"], &receipt["reason"]), (&json!(TEAM), &json!("uninstalled")));
    for (table, rows) in [("installations", 1), ("encryption_keys", 1), ("turns", 2), ("feedback", 1)] {
        assert_eq!(receipt["rows"][table], rows, "{receipt}");
    }
    let actions = app.database.ask("select string_agg(action, ' ' order by entry_id) from audit_log");
    assert!(
        actions.starts_with("installed answered") && actions.ends_with("uninstalled deleted"),
        "{actions}"
    );
    // Nobody can change it unnoticed.
    app.database.ask("update audit_log set detail = jsonb_set(detail, '{receipt,rows,turns}', '0') where action = 'deleted'");
    let forged = app.operate(&["tenants", "receipts", TEAM]);
    assert!(forged.contains("THE SIGNATURE IS WRONG"), "{forged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_and_revoked_tokens_come_in_any_order_and_twice() {
    let app = TestApp::installed().await;
    let orders = [
        vec![app_uninstalled(), tokens_revoked()],
        vec![tokens_revoked(), app_uninstalled()],
        vec![tokens_revoked(), app_uninstalled(), app_uninstalled(), tokens_revoked()],
    ];
    for order in orders {
        for event in order {
            app.deliver_of(now(), event).await;
        }
        app.gone().await;
        assert_eq!(app.receipt()["tenant_id"], TEAM);
        app.install().await;
        app.is_answered("Back again.").await;
    }
    // And all of them at once.
    tokio::join!(
        app.deliver_of(now(), app_uninstalled()),
        app.deliver_of(now(), tokens_revoked()),
        app.deliver_of(now(), app_uninstalled()),
        app.deliver_of(now(), message("Am I still heard?")),
    );
    app.gone().await;
    app.install().await;
    assert_eq!(app.database.ask("select count(*) from audit_log where action = 'deleted'"), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstall_older_than_the_install_changes_nothing() {
    let app = TestApp::installed().await;
    let second = "select floor(extract(epoch from installed_at))::bigint from installations";
    let installed: i64 = app.database.ask(second).parse().expect("a time");
    for event in [app_uninstalled(), tokens_revoked()] {
        app.deliver_of(installed - 1, event).await;
    }
    app.becomes("select count(*) from events where outcome = 'stale'", "2").await;
    let kept = "select outcome, reason from events where kind = 'uninstalled'";
    assert_eq!(app.database.ask(kept), "stale|the bot was installed again since");
    app.is_answered("Still here.").await;
    // In the second of the install itself it is taken at its word.
    app.deliver_of(installed, app_uninstalled()).await;
    app.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_grace_a_new_install_has_its_memory_back() {
    let app = TestApp::start_with(|_| {}, &[("UNINSTALL_GRACE_DAYS", "5")]).await;
    app.install().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let ts = app.is_answered("The word is heron.").await;
    app.simulator.uninstall(TEAM);
    app.becomes("select count(*) from installations", "0").await;
    app.idle().await;
    let grace = "select delete_after between now() + interval '4 days 23 hours' and now() + interval '5 days' from tenants";
    assert_eq!(app.database.ask(grace), "t");
    app.deliver_of(now(), message("Is anybody there?")).await;
    app.install().await;
    assert_eq!(app.database.ask("select delete_after is null from tenants"), "t");
    app.say(ADA, Some(&ts), "and what was it?");
    app.replies(&app.dm(ADA), &ts, 2).await;
    let prompt = app.last_prompt();
    assert!(prompt.iter().any(|message| message["content"] == "The word is heron."), "{prompt:?}");
    assert_eq!(app.simulator.model_requests().len(), 2, "what came meanwhile was of no interest");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_grace_is_over_everything_goes_by_itself() {
    let grace = [("UNINSTALL_GRACE_DAYS", "5")];
    let mut app = TestApp::start_with(|_| {}, &grace).await;
    app.install().await;
    app.is_answered("Not for long.").await;
    app.simulator.uninstall(TEAM);
    app.becomes("select count(*) from tenants where delete_after is not null", "1").await;
    app.idle().await;
    app.database.ask("update tenants set delete_after = now() - interval '1 second'");
    // Housekeeping is done at the start, too.
    app.apis.clear();
    app.add_api(app.settings.ports.api, &grace);
    app.gone().await;
    assert_eq!(app.receipt()["reason"], "the grace after the uninstall is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_disable_the_workspace_until_it_installs_again() {
    let app = TestApp::installed().await;
    app.simulator.revoke_tokens(TEAM);
    app.becomes("select disabled_reason from installations", "tokens_revoked").await;
    app.deliver_of(now(), message("Are you there?")).await;
    app.idle().await;
    let fate = app.database.ask("select outcome, reason from events where kind = 'message'");
    assert_eq!(fate, "set_aside|the token is dead (tokens_revoked): install the bot again");
    let disabled = app.database.ask("select detail->>'reason' from audit_log where action = 'disabled'");
    assert_eq!(disabled, "tokens_revoked");
    app.install().await;
    assert_eq!(app.database.ask("select disabled_reason is null from installations"), "t");
    app.is_answered("At your service.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_slack_calls_dead_disables_with_slacks_reason() {
    let app = TestApp::installed().await;
    app.simulator.fail("chat.startStream", Fault::Error("account_inactive"), 1);
    app.say(ADA, None, "say: Too late.");
    app.becomes("select disabled_reason like '%account_inactive%' from installations", "t").await;
    app.idle().await;
    let fate = app.database.ask("select outcome, reason from events where kind = 'message'");
    assert!(fate.starts_with("set_aside|") && fate.contains("account_inactive"), "{fate}");
    let asked = app.simulator.calls().len();
    app.say(ADA, None, "say: Nobody tries.");
    app.becomes("select count(*) from events where outcome = 'set_aside'", "2").await;
    assert_eq!(app.simulator.calls().len(), asked, "a dead token is not called with");
}
