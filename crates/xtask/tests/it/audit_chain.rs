//! The chain over a workspace's audit log: whatever is done to an entry is found and named.

use std::process::Command;

use crate::chromium::Chromium;
use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::{ADA, TEAM, TestApp};

/// What somebody may do to the log of a workspace, as the role of the services, and how that is told.
const TAMPERING_CASES: [(&str, &str, &str); 9] = [
    (
        "T1",
        "update audit_log set detail = '{\"model\": \"other\"}' where tenant_id = 'T1' and place = 3",
        "entry 3 was changed",
    ),
    ("T2", "delete from audit_log where tenant_id = 'T2' and place = 3", "entry 3 is missing"),
    (
        "T3",
        "delete from audit_log where tenant_id = 'T3' and place >= 5",
        "entry 5 and all behind it were cut off",
    ),
    (
        "T4",
        "update audit_log set place = 6 - place where tenant_id = 'T4' and place in (2, 4)",
        "entry 2 stands in another's place",
    ),
    (
        "T5",
        "update audit_log a set detail = b.detail, created_at = b.created_at from audit_log b
         where a.tenant_id = 'T5' and b.tenant_id = 'T5' and a.place in (3, 4) and b.place = 7 - a.place",
        "entry 3 stands in another's place",
    ),
    (
        "T6",
        "alter table audit_log disable trigger chain_audit_entry;
         insert into audit_log (tenant_id, actor, action, place, hash) values ('T6', 'U1', 'answered', 7, '');
         alter table audit_log enable trigger chain_audit_entry",
        "entry 7 was slipped in",
    ),
    (
        "T7",
        "update audit_log set created_at = created_at + interval '1 microsecond' where tenant_id = 'T7' and place = 6",
        "entry 6 was changed",
    ),
    ("T8", "delete from audit_log where tenant_id = 'T8'", "entry 1 and all behind it were cut off"),
    (
        "T9",
        "delete from audit_chains where tenant_id = 'T9'",
        "entry 1 and all behind it have lost the head of their chain",
    ),
];

impl TestApp {
    /// `web audit verify`: whether it ended well, and what it printed.
    pub(crate) fn verify_audit(&self, tenant: Option<&str>) -> (bool, String) {
        let mut command = Command::new(binaries().path("web").expect("it is built"));
        command.args(["audit", "verify"]).args(tenant);
        let output = command.env_clear().envs(self.settings.web_variables()).output().expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_tampering_is_detected_and_located() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    for _ in 0..8 {
        app.send_dm(ADA, None, "say: Yes.");
    }
    app.wait_for_query("select count(*) from audit_log where action = 'answered'", "8").await;
    // Answers that end at once get a place each, and so do entries of one statement.
    assert_eq!(app.verify_audit(Some(TEAM)), (true, "T0ACME: unbroken, 9 entries\n".to_owned()));
    app.database.query(
        "insert into audit_log (tenant_id, actor, action, detail, created_at)
         select tenant_id, 'U1', 'answered', jsonb_build_object('n', n), now() - n * interval '1 second'
         from unnest(array['T1', 'T2', 'T3', 'T4', 'T5', 'T6', 'T7', 'T8', 'T9']) as tenant_id, generate_series(1, 6) as n",
    );
    let (well, told) = app.verify_audit(None);
    assert!(well && told.lines().count() == 10 && told.contains("T5: unbroken, 6 entries"), "{told}");
    for (tenant, deed, found) in TAMPERING_CASES {
        app.database.query(deed);
        let (well, told) = app.verify_audit(Some(tenant));
        assert_eq!((well, told), (false, format!("{tenant}: BROKEN: {found}\n")), "{deed}");
    }
    let (well, told) = app.verify_audit(None);
    assert!(!well && told.contains("T0ACME: unbroken, 9 entries"), "{told}");
    assert_eq!(told.matches("BROKEN").count(), TAMPERING_CASES.len(), "{told}");
    assert_eq!(app.verify_audit(Some("T0NOBODY")), (true, "T0NOBODY: no entries\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_sees_audit_chain_state() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.sign_in(&app, ADA).await;
    browser.client.goto(&format!("{}/dashboard/audit", app.web.url())).await.expect("the page");
    let text = async || browser.find_test_id("chain").await.text().await.expect("text");
    assert!(text().await.contains("Each of the 2 entries"), "{}", text().await);
    browser.take_screenshots("audit-chained").await;
    browser.click("verify").await;
    browser.find_css("[data-testid=chain] .good").await;
    assert!(text().await.contains("2 entries, each as it was written"), "{}", text().await);
    browser.take_screenshots("audit-unbroken").await;
    app.database.query("update audit_log set actor = 'U0MALLORY' where place = 2");
    browser.click("verify").await;
    browser.find_css("[data-testid=chain] .bad").await;
    assert!(text().await.contains("Entry 2 was changed"), "{}", text().await);
    browser.take_screenshots("audit-broken").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// Those who write at once stand in one line, and nobody waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_replicas_write_one_audit_chain() {
    let mut app = TestApp::start_with(|settings| settings.has_rate_limits = false, &[]).await;
    app.install().await;
    app.add_api(xtask::cluster::free_port().expect("a port"), &[]);
    app.balance_events();
    app.simulator.set_model_options("ttft=0&gap=0");
    for number in 0..40 {
        app.send_dm(if number % 2 == 0 { ADA } else { "U0GRACE" }, None, "say: Yes.");
    }
    app.wait_for_query("select count(*) from events where outcome = 'answered'", "40").await;
    let (well, told) = app.verify_audit(Some(TEAM));
    assert!(well && told.contains("unbroken, 41 entries"), "{told}");
    assert!(!app.api_logs().contains("deadlock"), "{}", app.api_logs());
    // An uninstall writes the last two.
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.wait_idle().await;
    let last = "select string_agg(action, ' ' order by place) from audit_log where place > 41";
    // The tokens may have been revoked before.
    let last = app.database.query(last);
    assert!(last.ends_with("uninstalled deleted"), "{last}");
    assert!(app.verify_audit(Some(TEAM)).0);
}

/// What an older release has written is chained by the migration, in its order.
#[tokio::test(flavor = "multi_thread")]
async fn migration_chains_old_audit_entries() {
    // As it was before there was a chain, and before the tables were in a schema of their own.
    let database = TestDatabase::create_at_migration(22);
    database.query_in_schema(
        "public",
        "insert into audit_log (tenant_id, actor, action) select id, 'U1', 'answered'
         from generate_series(1, 50) as n, unnest(array['T1', 'T0ACME', 'E1']) as id order by n",
    );
    let app = TestApp::start_on_database(database, |_| {}, |_| {}, &[]).await;
    let left = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(app.database.query(left), "0", "all of it was moved");
    app.install().await;
    let (well, told) = app.verify_audit(None);
    assert!(well, "{told}");
    for line in ["T1: unbroken, 50 entries", "E1: unbroken, 50 entries", "T0ACME: unbroken, 51 entries"] {
        assert!(told.contains(line), "{told}");
    }
    let in_order = "select bool_and(entry_id > before) from (
         select entry_id, lag(entry_id, 1, 0::bigint) over (partition by tenant_id order by place) as before from audit_log
     ) as chain";
    assert_eq!(app.database.query(in_order), "t");
    app.sign_in(ADA).await;
    assert!(app.verify_audit(Some(TEAM)).1.contains("unbroken, 52 entries"));
}
