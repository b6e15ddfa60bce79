//! Uninstalling in any order of events, and installing again.

use serde_json::{Value, json};
use simulator::InjectedFault;

use crate::test_app::{ADA, TEAM, TestApp};

const BOT_USER_ID: &str = "U0BOT0ACME";

fn app_uninstalled() -> Value {
    json!({"type": "app_uninstalled"})
}

fn tokens_revoked() -> Value {
    json!({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOT_USER_ID]}})
}

fn message_event(text: &str) -> Value {
    json!({"type": "message", "channel": "D0ADA", "channel_type": "im", "user": ADA, "text": text,
           "ts": format!("{}.000100", now_seconds()), "team": TEAM})
}

pub(crate) fn now_seconds() -> i64 {
    chrono::Utc::now().timestamp()
}

impl TestApp {
    /// Delivers a signed event of this time, whatever the simulated Slack knows about the app.
    async fn deliver_at(&self, event_time: i64, event: Value) {
        let body = json!({
            "type": "event_callback", "event_id": format!("Ev{}", uuid::Uuid::new_v4().simple()),
            "event_time": event_time, "team_id": TEAM, "event": event,
            "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": BOT_USER_ID, "is_bot": true,
                                "is_enterprise_install": false}],
        });
        assert_eq!(self.simulator.deliver_raw(body.to_string()).await.expect("an answer"), 200);
    }

    /// Returns the tables with rows of the tenant, apart from the audit log and the head of its chain.
    pub(crate) fn tables_with_rows(&self) -> Vec<String> {
        let tables = self.database.query(
            "select table_name from information_schema.columns
             where table_schema = 'enablebot' and column_name = 'tenant_id' and table_name not in ('audit_log', 'audit_chains')",
        );
        assert!(tables.lines().count() > 8, "{tables}");
        let has_rows = |table: &&str| {
            self.database.query(&format!("select count(*) from {table} where tenant_id = '{TEAM}'")) != "0"
        };
        tables.lines().filter(has_rows).map(str::to_owned).collect()
    }

    /// Waits until all data of the tenant is deleted.
    async fn wait_tenant_deleted(&self) {
        self.wait_for_query("select count(*) from tenants", "0").await;
        self.wait_idle().await;
        assert_eq!(self.tables_with_rows(), Vec::<String>::new());
    }

    /// Returns the newest deletion receipt, with its signature verified.
    fn verified_receipt(&self) -> Value {
        let receipts = self.run_cli(&["tenants", "receipts", TEAM]);
        let newest = receipts.split("\n\n").last().expect("a receipt");
        let (receipt, verdict) = newest.split_once("\n}\n").expect("a receipt and a verdict");
        assert!(verdict.starts_with("Signature valid"), "{receipts}");
        serde_json::from_str(&format!("{receipt}}}")).expect("JSON")
    }

    /// Asks something in Ada's DM and waits for the reply.
    async fn assert_answered(&self, text: &str) -> String {
        let dm = self.dm(ADA);
        let ts = self.send_dm(ADA, None, &format!("say: {text}"));
        assert_eq!(self.wait_reply(&dm, &ts).await, text);
        ts
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_leaves_only_signed_receipt() {
    let app = TestApp::installed().await;
    let ts = app.assert_answered("Remember the heron.").await;
    app.post(ADA, "general", None, "of no interest");
    let reply = app.bot_messages(&app.dm(ADA), &ts).remove(0);
    let event = app.database.query("select event_id from events where kind = 'message'");
    let liked = format!("positive:{event}");
    let clicked = app.simulator.click(TEAM, ADA, &app.dm(ADA), &reply.ts, "feedback", Some(&liked)).await;
    assert_eq!(clicked.expect("it is there"), 200);
    app.wait_for_query("select count(*) from feedback", "1").await;
    app.wait_for_query("select count(*) from ignored_events where outcome = 'not_addressed'", "1").await;

    app.simulator.uninstall(TEAM);
    app.wait_acknowledged("tokens_revoked", 1).await;
    app.wait_tenant_deleted().await;
    let receipt = app.verified_receipt();
    assert_eq!((&receipt["tenant_id"], &receipt["reason"]), (&json!(TEAM), &json!("uninstalled")));
    for (table, rows) in [("installations", 1), ("encryption_keys", 1), ("chat_memory", 2), ("feedback", 1)] {
        assert_eq!(receipt["rows"][table], rows, "{receipt}");
    }
    let actions = app.database.query("select string_agg(action, ' ' order by entry_id) from audit_log");
    assert!(
        actions.starts_with("installed answered") && actions.ends_with("uninstalled deleted"),
        "{actions}"
    );
    // A change of the receipt is detected.
    app.database.query("update audit_log set detail = jsonb_set(detail, '{receipt,rows,chat_memory}', '0') where action = 'deleted'");
    let forged = app.run_cli(&["tenants", "receipts", TEAM]);
    assert!(forged.contains("SIGNATURE INVALID"), "{forged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_events_in_any_order_are_handled() {
    let app = TestApp::installed().await;
    let orders = [
        vec![app_uninstalled(), tokens_revoked()],
        vec![tokens_revoked(), app_uninstalled()],
        vec![tokens_revoked(), app_uninstalled(), app_uninstalled(), tokens_revoked()],
    ];
    for order in orders {
        for event in order {
            app.deliver_at(now_seconds(), event).await;
        }
        app.wait_tenant_deleted().await;
        assert_eq!(app.verified_receipt()["tenant_id"], TEAM);
        app.install().await;
        app.assert_answered("Back again.").await;
    }
    // And all of them at once.
    tokio::join!(
        app.deliver_at(now_seconds(), app_uninstalled()),
        app.deliver_at(now_seconds(), tokens_revoked()),
        app.deliver_at(now_seconds(), app_uninstalled()),
        app.deliver_at(now_seconds(), message_event("Am I still heard?")),
    );
    app.wait_tenant_deleted().await;
    app.install().await;
    assert_eq!(app.database.query("select count(*) from audit_log where action = 'deleted'"), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_uninstall_is_ignored() {
    let app = TestApp::installed().await;
    let second = "select floor(extract(epoch from installed_at))::bigint from installations";
    let installed: i64 = app.database.query(second).parse().expect("a time");
    for event in [app_uninstalled(), tokens_revoked()] {
        app.deliver_at(installed - 1, event).await;
    }
    app.wait_for_query("select count(*) from events where outcome = 'stale'", "2").await;
    let kept = "select outcome, reason from events where kind = 'uninstalled'";
    assert_eq!(app.database.query(kept), "stale|the bot was installed again since");
    app.assert_answered("Still here.").await;
    // An uninstall event of the same second as the installation counts.
    app.deliver_at(installed, app_uninstalled()).await;
    app.wait_tenant_deleted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn early_reinstall_keeps_memory() {
    let app = TestApp::start_with(|_| {}, &[("UNINSTALL_GRACE_DAYS", "5")]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ts = app.assert_answered("The word is heron.").await;
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from installations", "0").await;
    app.wait_idle().await;
    let grace = "select delete_after between now() + interval '4 days 23 hours' and now() + interval '5 days' from tenants";
    assert_eq!(app.database.query(grace), "t");
    app.deliver_at(now_seconds(), message_event("Is anybody there?")).await;
    app.install().await;
    assert_eq!(app.database.query("select delete_after is null from tenants"), "t");
    app.send_dm(ADA, Some(&ts), "and what was it?");
    app.wait_replies(&app.dm(ADA), &ts, 2).await;
    let prompt = app.last_prompt();
    assert!(prompt.iter().any(|message| message["content"] == "The word is heron."), "{prompt:?}");
    assert_eq!(app.simulator.model_requests().len(), 2, "what came meanwhile was of no interest");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_deleted_after_grace() {
    let grace = [("UNINSTALL_GRACE_DAYS", "5")];
    let mut app = TestApp::start_with(|_| {}, &grace).await;
    app.install().await;
    app.assert_answered("Not for long.").await;
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants where delete_after is not null", "1").await;
    app.wait_idle().await;
    app.database.query("update tenants set delete_after = now() - interval '1 second'");
    // Housekeeping also runs at the start.
    app.apis.clear();
    app.add_api(app.settings.ports.api, &grace);
    app.wait_tenant_deleted().await;
    assert_eq!(app.verified_receipt()["reason"], "the grace period after the uninstall is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_disable_until_reinstall() {
    let app = TestApp::installed().await;
    app.simulator.revoke_tokens(TEAM);
    app.wait_for_query("select disabled_reason from installations", "tokens_revoked").await;
    app.deliver_at(now_seconds(), message_event("Are you there?")).await;
    app.wait_idle().await;
    let fate = app.database.query("select outcome, reason from events where kind = 'message'");
    assert_eq!(fate, "set_aside|the token was revoked (tokens_revoked); reinstall the bot");
    let disabled = app.database.query("select detail->>'reason' from audit_log where action = 'disabled'");
    assert_eq!(disabled, "tokens_revoked");
    app.install().await;
    assert_eq!(app.database.query("select disabled_reason is null from installations"), "t");
    app.assert_answered("At your service.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_token_disables_with_slack_error() {
    let app = TestApp::installed().await;
    app.simulator.inject_fault("chat.startStream", InjectedFault::Error("account_inactive"), 1);
    app.send_dm(ADA, None, "say: Too late.");
    app.wait_for_query("select disabled_reason like '%account_inactive%' from installations", "t").await;
    app.wait_idle().await;
    let fate = app.database.query("select outcome, reason from events where kind = 'message'");
    assert!(fate.starts_with("set_aside|") && fate.contains("account_inactive"), "{fate}");
    let asked = app.simulator.calls().len();
    app.send_dm(ADA, None, "say: Nobody tries.");
    app.wait_for_query("select count(*) from events where outcome = 'set_aside'", "2").await;
    assert_eq!(app.simulator.calls().len(), asked, "a dead token is not called with");
}
