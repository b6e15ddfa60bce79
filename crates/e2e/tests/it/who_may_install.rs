//! Who may install and spend: `ALLOWED_TEAMS` and `DEFAULT_MONTHLY_BUDGET`.

use std::process::Command;

use crate::cli::run_to_exit;
use crate::fixtures::binaries;
use crate::test_app::{ADA, BETA, BETA_ADA, TEAM, TestApp};

impl TestApp {
    /// Restarts `web` with additional variables.
    fn restart_web(&mut self, variables: &[(&str, &str)]) {
        self.web.stop().expect("it ends");
        self.web = self.add_web_with(self.settings.ports.web, variables);
    }

    /// Tries to install, and returns the status and the page.
    async fn try_install(&self, allow: impl FnOnce(&str) -> String) -> (u16, String) {
        let begun = self.begin_install().await;
        let page = self.finish_install(&allow(&begun.authorize_url), Some(&begun.cookie)).await;
        (page.status().as_u16(), page.text().await.expect("text"))
    }

    async fn try_install_org(&self, org: &str) -> (u16, String) {
        self.try_install(|url| self.simulator.allow_org_wide(url, org).expect("Slack allows it")).await
    }

    fn run_doctor_with(&self, name: &str, value: &str) -> String {
        let mut command = Command::new(binaries().path("web").expect("web"));
        command.arg("doctor").env_clear().envs(self.settings.web_variables()).env(name, value);
        String::from_utf8_lossy(&command.current_dir("/").output().expect("it runs").stdout).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn install_outside_allowed_teams_is_refused() {
    let mut app = TestApp::start().await;
    app.restart_web(&[("ALLOWED_TEAMS", "T0BETA, E0ORG")]);
    app.simulator.add_team(BETA, "Beta");
    app.simulator.add_enterprise("E0ORG", "Org", &["T0NORTH"]);
    app.simulator.add_enterprise("E0ELSE", "Else", &["T0SOUTH"]);
    let (status, page) = app.try_install(|url| app.simulator.allow(url).expect("Slack allows it")).await;
    assert_eq!(status, 403);
    assert!(
        page.contains("Ask the operator to allow T0ACME") && page.contains("Nothing was stored"),
        "{page}"
    );
    let (status, page) = app.try_install_org("E0ELSE").await;
    assert!(status == 403 && page.contains("Ask the operator to allow E0ELSE"), "{page}");
    for table in ["tenants", "installations", "encryption_keys", "audit_log", "events", "event_inbox"] {
        assert_eq!(app.database.query(&format!("select count(*) from {table}")), "0", "{table}");
    }
    let log = app.web.log_lines().join("\n");
    assert!(log.lines().any(|line| line.contains("install refused") && line.contains(TEAM)), "{log}");
    let metrics = app.get_page("/metrics", None).await.text().await.expect("text");
    assert!(metrics.contains("enablebot_installs_total{result=\"not_allowed\"} 2"), "{metrics}");

    app.install_in(BETA).await;
    assert_eq!(app.try_install_org("E0ORG").await.0, 200);
    let stored = "select string_agg(tenant_id, ' ' order by tenant_id) from tenants";
    assert_eq!(app.database.query(stored), "E0ORG T0BETA");

    let told = app.run_doctor_with("ALLOWED_TEAMS", "E0ORG");
    assert!(told.contains("installed, but not in ALLOWED_TEAMS: T0BETA\n"), "{told}");
    assert!(app.run_doctor_with("ALLOWED_TEAMS", "E0ORG,T0BETA").contains("all in ALLOWED_TEAMS"));
    let mut wrong = app.settings.web_variables();
    wrong.insert("ALLOWED_TEAMS".into(), "T0BETA, acme".into());
    wrong.insert("DEFAULT_MONTHLY_BUDGET".into(), "fifty".into());
    let (code, told) = run_to_exit("web", &[], &wrong);
    assert_eq!(code, Some(1));
    for name in ["ALLOWED_TEAMS", "DEFAULT_MONTHLY_BUDGET"] {
        let line = told.lines().find(|line| line.starts_with(name)).expect("a line");
        assert!(line.contains("for example"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spending_never_exceeds_operators_ceiling() {
    const CEILING: (&str, &str) = ("DEFAULT_MONTHLY_BUDGET", "0.03");
    let mut app = TestApp::start_with(|simulated| simulated.has_rate_limits = false, &[]).await;
    app.install().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    // Acme's own budget is from before the ceiling, and higher. Beta has no settings at all.
    let ada = app.sign_in(ADA).await;
    app.save_settings(&ada, &[("budget", "5")]).await;
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[CEILING]);
    app.restart_web(&[CEILING]);
    app.simulator.set_model_options("ttft=0&gap=0");
    let ask = |text: &str| {
        [app.send_dm(ADA, None, text), app.send_dm_in_team(BETA, BETA_ADA, text)].map(|message_ts| {
            format!("select concat_ws(': ', outcome, reason) from events where message_ts = '{message_ts}'")
        })
    };
    for outcome in ask("say: Within it.") {
        app.wait_for_query(&outcome, "answered").await;
    }
    // What is left of the ceiling does not pay for another answer.
    app.database.query("update usage set cost_micros = 29000");
    for outcome in ask("say: Above it.") {
        app.wait_for_query(&outcome, "refused: over budget").await;
    }

    let (_, page) = app.get_page_text("/dashboard/settings", &ada).await;
    assert!(
        page.contains("data-testid=\"ceiling\"") && page.contains("allows $0.03 a month at most"),
        "{page}"
    );
    let fields = [("budget", "0.04"), ("follow_ups", "on"), ("feedback", "on")];
    let refused = app.send_form("/dashboard/settings/review", Some(&ada), &fields).await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.expect("text");
    assert!(page.contains("allows 0.03 dollars a month at most"), "{page}");
    app.save_settings(&ada, &[("budget", "0.02")]).await;
    let (_, overview) = app.get_page_text("/dashboard", &ada).await;
    assert!(overview.contains("of $0.02 monthly budget used"), "{overview}");
    let beta = app.sign_in(BETA_ADA).await;
    let (_, overview) = app.get_page_text("/dashboard", &beta).await;
    assert!(overview.contains("of $0.03 monthly budget set by the operator, used"), "{overview}");
}
