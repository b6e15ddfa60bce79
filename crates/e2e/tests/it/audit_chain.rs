//! The hash chain of the audit log: every change of an entry is detected and named.

use std::process::Command;

use crate::chromium::Chromium;
use crate::fixtures::binaries;
use crate::test_app::{ADA, TEAM, TestApp};

/// Manipulations of a workspace's log by the services' role, and the report of each.
const TAMPERING_CASES: [(&str, &str, &str); 9] = [
    (
        "T1",
        "update audit_log set detail = '{\"model\": \"other\"}' where tenant_id = 'T1' and chain_index = 3",
        "entry 3 was changed",
    ),
    ("T2", "delete from audit_log where tenant_id = 'T2' and chain_index = 3", "entry 3 is missing"),
    (
        "T3",
        "delete from audit_log where tenant_id = 'T3' and chain_index >= 5",
        "entry 5 and all later ones are missing",
    ),
    (
        "T4",
        "update audit_log set chain_index = 6 - chain_index where tenant_id = 'T4' and chain_index in (2, 4)",
        "entry 2 was moved",
    ),
    (
        "T5",
        "update audit_log a set detail = b.detail, created_at = b.created_at from audit_log b
         where a.tenant_id = 'T5' and b.tenant_id = 'T5' and a.chain_index in (3, 4) and b.chain_index = 7 - a.chain_index",
        "entry 3 was moved",
    ),
    (
        "T6",
        "alter table audit_log disable trigger chain_audit_entry;
         insert into audit_log (tenant_id, actor, action, chain_index, hash) values ('T6', 'U1', 'answered', 7, '');
         alter table audit_log enable trigger chain_audit_entry",
        "entry 7 was inserted",
    ),
    (
        "T7",
        "update audit_log set created_at = created_at + interval '1 microsecond' where tenant_id = 'T7' and chain_index = 6",
        "entry 6 was changed",
    ),
    ("T8", "delete from audit_log where tenant_id = 'T8'", "entry 1 and all later ones are missing"),
    (
        "T9",
        "delete from audit_chains where tenant_id = 'T9'",
        "entry 1 and all later ones have no chain head",
    ),
];

impl TestApp {
    /// Runs `web audit verify`. Returns whether it succeeded, and its output.
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
    // Concurrent replies get one index each, and so do several entries of one statement.
    assert_eq!(app.verify_audit(Some(TEAM)), (true, "T0ACME: intact, 9 entries\n".to_owned()));
    app.database.query(
        "insert into audit_log (tenant_id, actor, action, detail, created_at)
         select tenant_id, 'U1', 'answered', jsonb_build_object('n', n), now() - n * interval '1 second'
         from unnest(array['T1', 'T2', 'T3', 'T4', 'T5', 'T6', 'T7', 'T8', 'T9']) as tenant_id, generate_series(1, 6) as n",
    );
    let (well, told) = app.verify_audit(None);
    assert!(well && told.lines().count() == 10 && told.contains("T5: intact, 6 entries"), "{told}");
    for (tenant, deed, found) in TAMPERING_CASES {
        app.database.query(deed);
        let (well, told) = app.verify_audit(Some(tenant));
        assert_eq!((well, told), (false, format!("{tenant}: BROKEN: {found}\n")), "{deed}");
    }
    let (well, told) = app.verify_audit(None);
    assert!(!well && told.contains("T0ACME: intact, 9 entries"), "{told}");
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
    assert!(text().await.contains("The 2 entries are hash-chained"), "{}", text().await);
    browser.take_screenshots("audit-chained").await;
    browser.click("verify").await;
    browser.find_css("[data-testid=chain] .good").await;
    assert!(text().await.contains("2 entries, none changed or removed"), "{}", text().await);
    browser.take_screenshots("audit-unbroken").await;
    app.database.query("update audit_log set actor = 'U0MALLORY' where chain_index = 2");
    browser.click("verify").await;
    browser.find_css("[data-testid=chain] .bad").await;
    assert!(text().await.contains("Entry 2 was changed"), "{}", text().await);
    browser.take_screenshots("audit-broken").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// Concurrent writers take turns, and none waits forever.
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
    assert!(well && told.contains("intact, 41 entries"), "{told}");
    assert!(!app.api_logs().contains("deadlock"), "{}", app.api_logs());
    // An uninstall writes the last two entries.
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.wait_idle().await;
    let last = "select string_agg(action, ' ' order by chain_index) from audit_log where chain_index > 41";
    // The tokens may have been revoked earlier.
    let last = app.database.query(last);
    assert!(last.ends_with("uninstalled deleted"), "{last}");
    assert!(app.verify_audit(Some(TEAM)).0);
}
