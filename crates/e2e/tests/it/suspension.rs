//! What an operator decided about a workspace outlives the workspace's data.

use crate::test_app::{ADA, GRACE, TEAM, TestApp};

impl TestApp {
    /// Installs again, and returns the page after the install.
    async fn reinstall(&self) -> String {
        let begun = self.begin_install().await;
        let back =
            self.simulator.allow(&format!("{}&team={TEAM}", begun.authorize_url)).expect("Slack allows it");
        let page = self.finish_install(&back, Some(&begun.cookie)).await;
        assert_eq!(page.status(), 200);
        self.wait_idle().await;
        page.text().await.expect("text")
    }

    async fn uninstall_for_good(&self) {
        self.simulator.uninstall(TEAM);
        self.wait_for_query("select count(*) from tenants", "0").await;
        self.wait_idle().await;
    }

    fn rules(&self) -> String {
        self.database.query("select weight, suspended_reason from tenants")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suspension_outlives_deletion_and_reinstall() {
    let app = TestApp::installed().await;
    app.run_cli(&["tenants", "weight", TEAM, "4"]);
    app.run_cli(&["tenants", "suspend", TEAM, "Unpaid since <March>"]);
    app.uninstall_for_good().await;
    assert_eq!(app.tables_with_rows(), ["tenant_rules"]);
    let listed = app.run_cli(&["tenants", "list"]);
    assert!(listed.contains(TEAM) && listed.contains("suspended: Unpaid since <March>"), "{listed}");

    let page = app.reinstall().await;
    assert!(
        page.contains("has suspended EnableBot") && page.contains("Unpaid since &#60;March&#62;"),
        "{page}"
    );
    assert_eq!(app.rules(), "4|Unpaid since <March>");
    let asked = app.send_dm(GRACE, None, "say: Hello.");
    app.wait_for_query(&format!("select outcome from events where message_ts = '{asked}'"), "suspended")
        .await;
    let dm = app.dm(ADA);
    let mut welcomed =
        app.slack_calls("chat.postMessage").into_iter().filter(|call| call.args["channel"] == dm.as_str());
    let told = welcomed.next_back().expect("a welcome").args.to_string();
    assert!(told.contains("has suspended this workspace") && told.contains("March"), "{told}");

    // The workspace's own deletion changes nothing either.
    let (admin, name) = (app.sign_in(ADA).await, app.database.query("select name from tenants"));
    let deleted = app.send_form("/dashboard/data/delete", Some(&admin), &[("workspace", &name)]).await;
    assert!(deleted.text().await.expect("text").contains("receipt"));
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.reinstall().await;
    assert_eq!(app.rules(), "4|Unpaid since <March>");

    // An operator may end the suspension while the workspace is gone.
    app.uninstall_for_good().await;
    assert!(app.run_cli(&["tenants", "resume", TEAM]).contains("is resumed"));
    assert!(app.run_cli(&["tenants", "weight", TEAM, "1"]).contains("has weight 1"));
    let page = app.reinstall().await;
    assert!(!page.contains("suspended"), "{page}");
    assert_eq!(
        (app.rules().as_str(), app.tables_with_rows().contains(&"tenant_rules".into())),
        ("1|", false)
    );
    let asked = app.send_dm(GRACE, None, "say: Hello again.");
    assert_eq!(app.wait_reply(&app.dm(GRACE), &asked).await, "Hello again.");
}
