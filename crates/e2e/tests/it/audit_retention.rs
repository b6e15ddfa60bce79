//! Old entries leave the audit log, and the rest can still be verified on the page and by the command.

use std::time::{Duration, Instant};

use xtask::cluster::free_port;
use xtask::service::Service;

use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

const AUDIT_RETENTION_VARIABLES: [(&str, &str); 1] = [("AUDIT_RETENTION_DAYS", "30")];

impl TestApp {
    /// Writes `old` entries that are 40 days old, and then current ones.
    pub(crate) fn write_audit_entries(&self, tenant: &str, old: u32, fresh: u32) {
        let count = |age: &str, count: u32| {
            self.database.query(&format!(
                "insert into audit_log (tenant_id, actor, action, detail, created_at)
                 select '{tenant}', 'U\"é\\' || n, 'answered', jsonb_build_object('n', n, 'x', array[1.50, n]),
                        now() - {age} from generate_series(1, {count}) as n"
            ));
        };
        count("interval '40 days' - n * interval '1 microsecond'", old);
        count("interval '1 minute'", fresh);
    }

    /// Starts another `web`, whose first round is due at once.
    pub(crate) fn start_audit_retention(&self, extra_variables: &[(&str, &str)]) -> Service {
        self.add_web_with(free_port().expect("a port"), extra_variables)
    }

    pub(crate) fn remaining_places(&self, tenant: &str) -> String {
        let sql = "select coalesce(min(chain_index) || '-' || max(chain_index) || ' of ' || count(*), 'none') from audit_log";
        self.database.query(&format!("{sql} where tenant_id = '{tenant}'"))
    }
}

pub(crate) async fn wait_for_service_log(service: &Service, words: &str) {
    let begun = Instant::now();
    while !service.log_lines().join("\n").contains(words) {
        assert!(begun.elapsed() < TEST_TIMEOUT, "never logged: {words}\n{}", service.last_log_lines(50));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Manipulations of the log after the anchor, and the report of each.
const RETENTION_TAMPERING_CASES: [(&str, &str, &str); 8] = [
    (
        "R1",
        "update audit_log set actor = 'U2' where tenant_id = 'R1' and chain_index = 5",
        "entry 5 was changed",
    ),
    ("R2", "delete from audit_log where tenant_id = 'R2' and chain_index = 5", "entry 5 is missing"),
    (
        "R3",
        "delete from audit_log where tenant_id = 'R3' and chain_index between 5 and 7",
        "entry 5 is missing",
    ),
    (
        "R4",
        "update audit_log set chain_index = 11 - chain_index where tenant_id = 'R4' and chain_index in (5, 6)",
        "entry 5 was moved",
    ),
    ("R5", "delete from audit_log where tenant_id = 'R5'", "entry 5 and all later ones are missing"),
    (
        "R6",
        "delete from audit_chains where tenant_id = 'R6'",
        "entry 5 and all later ones have no chain head",
    ),
    ("R7", "update audit_chains set purged_index = 6 where tenant_id = 'R7'", "entry 5 was inserted"),
    ("R8", "update audit_chains set purged_hash = '' where tenant_id = 'R8'", "entry 5 was changed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn purged_audit_log_still_verifies() {
    let app = TestApp::start().await;
    app.write_audit_entries(TEAM, 20, 0);
    app.install().await;
    let cookie = app.sign_in(ADA).await;
    for (tenant, ..) in RETENTION_TAMPERING_CASES {
        app.write_audit_entries(tenant, 4, 4);
    }
    app.write_audit_entries("T1", 1_200, 3);
    app.write_audit_entries("T2", 0, 5);
    app.write_audit_entries("T3", 6, 0);
    // A log that was tampered with before is kept whole, so that nothing hides the manipulation.
    app.write_audit_entries("T4", 6, 2);
    app.database
        .query("update audit_log set action = 'discarded' where tenant_id = 'T4' and chain_index = 3");
    app.write_audit_entries("T5", 6, 2);
    app.database.query("delete from audit_log where tenant_id = 'T5' and chain_index <= 2");
    // An old entry after a newer one stays until it is at the end of the chain.
    app.write_audit_entries("T6", 2, 1);
    app.write_audit_entries("T6", 3, 0);
    let web = app.start_audit_retention(&AUDIT_RETENTION_VARIABLES);
    app.wait_for_query("select count(*) from audit_log where tenant_id = 'T1'", "3").await;
    for tenant in ["T4", "T5"] {
        wait_for_service_log(
            &web,
            &format!("old audit log entries were not purged; `web audit verify {tenant}` shows the reason"),
        )
        .await;
    }
    for (tenant, places) in [
        (TEAM, "21-22 of 2"),
        ("T1", "1201-1203 of 3"),
        ("T2", "1-5 of 5"),
        ("T3", "none"),
        ("T4", "3-8 of 6"),
        ("T5", "3-8 of 6"),
        ("T6", "3-6 of 4"),
    ] {
        assert_eq!(app.remaining_places(tenant), places, "{tenant}");
    }
    assert!(!web.log_lines().join("\n").contains("verify T6"));
    // The chain continues where it was.
    app.write_audit_entries("T3", 0, 2);
    let behind = |count: u32| format!("after {count} purged ones");
    for (tenant, told) in [
        ("T1", format!("intact, 3 entries, {}", behind(1_200))),
        ("T2", "intact, 5 entries".to_owned()),
        ("T3", format!("intact, 2 entries, {}", behind(6))),
        ("T4", format!("BROKEN: entry 3 was changed, {}", behind(2))),
        ("T5", "BROKEN: entry 1 is missing".to_owned()),
        ("T6", format!("intact, 4 entries, {}", behind(2))),
    ] {
        let is_well = told.starts_with("intact");
        assert_eq!(app.verify_audit(Some(tenant)), (is_well, format!("{tenant}: {told}\n")));
    }
    let page = app.get_page("/dashboard/audit?verify=1", Some(&cookie)).await.text().await.expect("text");
    assert!(page.contains("2 entries, none changed or removed. 20 older entries were purged"), "{page}");
    let page = app.get_page("/dashboard/audit", Some(&cookie)).await.text().await.expect("text");
    assert!(page.contains("The 2 entries are hash-chained"), "{page}");

    for (tenant, deed, found) in RETENTION_TAMPERING_CASES {
        assert_eq!(
            app.verify_audit(Some(tenant)),
            (true, format!("{tenant}: intact, 4 entries, {}\n", behind(4)))
        );
        app.database.query(deed);
        let (well, told) = app.verify_audit(Some(tenant));
        assert!(!well && told.starts_with(&format!("{tenant}: BROKEN: {found}")), "{deed}: {told}");
    }
    app.database
        .query("update audit_log set actor = 'U0MALLORY' where tenant_id = 'T0ACME' and chain_index = 21");
    let page = app.get_page("/dashboard/audit?verify=1", Some(&cookie)).await.text().await.expect("text");
    assert!(page.contains("Entry 21 was changed"), "{page}");
}

/// A role that may only call the function cannot remove fresh entries or entries from the middle.
#[tokio::test(flavor = "multi_thread")]
async fn fresh_audit_entries_cannot_be_purged() {
    let app = TestApp::start().await;
    app.write_audit_entries("T1", 2, 3);
    for age in ["null", "interval '0'", "interval '23 hours'", "interval '-1 day'"] {
        let call = format!("perform purge_audit_entries('T1', {age}, 10)");
        app.database.query(&format!(
            "do $$ declare _refused boolean := false; begin
                 begin {call}; exception when raise_exception then _refused := true; end;
                 if not _refused then raise 'it was allowed'; end if;
             end $$"
        ));
    }
    assert_eq!(app.remaining_places("T1"), "1-5 of 5");
    let call = |tenant: &str, limit: u32| {
        app.database
            .query(&format!("select * from purge_audit_entries('{tenant}', interval '1 day', {limit})"))
    };
    assert_eq!((call("T1", 0), call("T1", 1), call("T1", 9)), ("0|0".into(), "1|1".into(), "1|2".into()));
    assert_eq!((call("T1", 9), call("T0NOBODY", 9)), ("0|2".into(), "0|0".into()));
    assert_eq!(app.remaining_places("T1"), "3-5 of 3");
}

/// Two replicas that purge at the same time remove the due entries once.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_audit_purge_is_safe() {
    let app = TestApp::start().await;
    for number in 0..8 {
        app.write_audit_entries(&format!("T{number}"), 1_100, 2);
    }
    let webs = [
        app.start_audit_retention(&AUDIT_RETENTION_VARIABLES),
        app.start_audit_retention(&AUDIT_RETENTION_VARIABLES),
    ];
    app.wait_for_query("select count(*) from audit_log", "16").await;
    let logs = webs.map(|web| web.log_lines().join("\n")).join("\n");
    for words in ["were not purged", "audit log maintenance failed", "deadlock"] {
        assert!(!logs.contains(words), "{words}: {logs}");
    }
    let (well, told) = app.verify_audit(None);
    assert!(well && told.matches("intact, 2 entries, after 1100").count() == 8, "{told}");
}
