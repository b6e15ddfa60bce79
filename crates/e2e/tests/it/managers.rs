//! Who manages a workspace: the people whom Slack calls admins, and the managers whom they named.

use std::time::Duration;

use simulator::SimulatedUser;

use crate::test_app::{ADA, BETA, BETA_GRACE, GRACE, TEAM, TestApp};

const LINUS: &str = "U0LINUS";

const SETTINGS_PATH: &str = "/dashboard/settings";
const MANAGERS_PATH: &str = "/dashboard/settings/managers";

impl TestApp {
    /// Installs as this person, in a workspace where members may install apps.
    async fn install_as(&self, user: &str) {
        let begun = self.begin_install().await;
        let back =
            self.simulator.allow_as(&format!("{}&team={TEAM}", begun.authorize_url), user).expect("Allow");
        assert_eq!(self.finish_install(&back, Some(&begun.cookie)).await.status(), 200);
        self.wait_idle().await;
        assert_eq!(self.database.query("select installed_by from installations"), user);
    }

    /// Names a manager. Returns the status and the page.
    pub(crate) async fn name_manager(&self, cookie: &str, user: &str) -> (u16, String) {
        let answer = self.send_form(MANAGERS_PATH, Some(cookie), &[("user_id", user)]).await;
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn revoke_manager(&self, cookie: &str, user: &str) -> u16 {
        let path = format!("{MANAGERS_PATH}/{user}/revoke");
        self.send_form(&path, Some(cookie), &[]).await.status().as_u16()
    }

    /// Lists the people who got the notice of the budget.
    fn notified_of_budget(&self) -> Vec<&'static str> {
        let is_notice = |message: &simulator::SlackMessage| message.text.contains("More than 80 %");
        let has_notice = |user: &&str| self.simulator.messages(TEAM, &self.dm(user)).iter().any(is_notice);
        [ADA, GRACE, LINUS].into_iter().filter(has_notice).collect()
    }

    /// Uses up most of the budget, and waits until the notices have had the time to arrive.
    async fn reach_budget_threshold(&self) {
        self.database.query("update usage set cost_micros = 80000");
        let ts = self.send_dm(GRACE, None, "say: The last one.");
        self.wait_reply(&self.dm(GRACE), &ts).await;
        self.wait_for_query("select count(*) from audit_log where action = 'budget_warned'", "1").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reinstall_by_member_changes_no_manager() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ada = app.sign_in(ADA).await;
    app.save_settings(&ada, &[("budget", "0.10"), ("conversations", "on")]).await;
    assert_eq!(app.name_manager(&ada, GRACE).await.0, 303);
    let ts = app.send_dm(ADA, None, "say: A secret.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    let settings = app.database.query("select encode(body, 'hex'), changed_at from settings");

    app.install_as(LINUS).await;
    let linus = app.sign_in(LINUS).await;
    for path in [SETTINGS_PATH, "/dashboard/people", "/dashboard/data", "/dashboard/audit"] {
        assert_eq!(app.get_page_text(path, &linus).await.0, 403, "{path}");
    }
    let (_, conversations) = app.get_page_text("/dashboard/conversations", &linus).await;
    assert!(!conversations.contains("A secret."), "{conversations}");
    let delete = app.send_form("/dashboard/data/delete", Some(&linus), &[("workspace", "Acme")]).await;
    assert_eq!(delete.status(), 403);
    assert_eq!(app.name_manager(&linus, LINUS).await.0, 403);
    assert_eq!(app.database.query("select encode(body, 'hex'), changed_at from settings"), settings);
    assert_eq!(app.database.query("select user_id, granted_by from managers"), "U0GRACE|U0ADA");
    for manager in [&ada, &app.sign_in(GRACE).await] {
        assert_eq!(app.get_page_text(SETTINGS_PATH, manager).await.0, 200);
    }
    app.reach_budget_threshold().await;
    assert_eq!(app.notified_of_budget(), [ADA, GRACE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn budget_notice_finds_admin_nobody_knows() {
    let app = TestApp::start().await;
    app.install_as(LINUS).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    // Ada saves the budget, and is forgotten.
    let ada = app.sign_in(ADA).await;
    app.save_settings(&ada, &[("budget", "0.10")]).await;
    app.database.query("delete from sessions; delete from people");
    let ts = app.send_dm(GRACE, None, "say: The first one.");
    app.wait_reply(&app.dm(GRACE), &ts).await;
    app.reach_budget_threshold().await;
    assert_eq!(app.notified_of_budget(), [ADA]);
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_names_and_revokes_manager() {
    let app = TestApp::installed().await;
    let (ada, grace, linus) = (app.sign_in(ADA).await, app.sign_in(GRACE).await, app.sign_in(LINUS).await);
    assert_eq!(app.get_page_text(SETTINGS_PATH, &grace).await.0, 403);
    assert_eq!(app.name_manager(&grace, GRACE).await.0, 403, "a member names nobody");
    assert_eq!(app.name_manager(&ada, GRACE).await.0, 303);
    assert_eq!(app.name_manager(&ada, GRACE).await.0, 303, "she is one already");
    let (status, page) = app.get_page_text(SETTINGS_PATH, &grace).await;
    assert!(status == 200 && page.contains("data-testid=\"managers\"") && page.contains("U0GRACE"), "{page}");
    assert!(!page.contains("data-testid=\"name-manager\""), "only admins name managers");
    assert_eq!(app.name_manager(&grace, LINUS).await.0, 403);
    assert_eq!(app.revoke_manager(&linus, GRACE).await, 403);
    // A manager does what an admin does.
    let exported = app.send_form("/dashboard/data/export.tar", Some(&grace), &[]).await;
    assert_eq!(exported.status(), 200);
    assert!(!exported.bytes().await.expect("all of it").is_empty());

    assert_eq!(app.name_manager(&ada, LINUS).await.0, 303);
    assert_eq!(app.revoke_manager(&linus, GRACE).await, 403, "of another manager");
    assert_eq!(app.revoke_manager(&linus, LINUS).await, 303, "of herself");
    assert_eq!(app.revoke_manager(&ada, LINUS).await, 404, "no manager any more");
    assert_eq!(app.revoke_manager(&ada, GRACE).await, 303);
    assert_eq!(app.get_page_text(SETTINGS_PATH, &grace).await.0, 403, "at once");
    let audited =
        "select string_agg(actor || ' ' || action || ' ' || (detail->>'user_id'), ', ' order by entry_id)
                   from audit_log where action like 'manager%'";
    assert_eq!(
        app.database.query(audited),
        "U0ADA manager_named U0GRACE, U0ADA manager_named U0LINUS, U0LINUS manager_revoked U0LINUS, \
         U0ADA manager_revoked U0GRACE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_active_members_are_named_managers() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.simulator.share_channel(TEAM, "general", BETA).expect("two teams");
    let person = |id: &str, change: fn(&mut SimulatedUser)| {
        let mut person = SimulatedUser { id: id.into(), name: id.into(), ..SimulatedUser::default() };
        change(&mut person);
        app.simulator.add_person(TEAM, person);
    };
    person("U0GUEST", |person| person.is_restricted = true);
    person("U0ROBOT", |person| person.is_bot = true);
    person("U0LEFT", |person| person.is_deactivated = true);
    app.wait_idle().await;
    let ada = app.sign_in(ADA).await;
    for (user, reason) in [
        ("U0GUEST", "no guests"),
        ("U0ROBOT", "no guests, no bots"),
        (BETA_GRACE, "nobody of another organisation"),
        ("U0LEFT", "their account is deactivated"),
        ("U0NOBODY", "does not know this person"),
        ("grace", "Enter a Slack user id"),
        ("", "Enter a Slack user id"),
    ] {
        let (status, page) = app.name_manager(&ada, user).await;
        assert!(status == 422 && page.contains(reason), "{user}: {status} {page}");
    }
    app.simulator.inject_fault("users.info", simulator::InjectedFault::HttpStatus(503), 20);
    let (status, page) = app.name_manager(&ada, GRACE).await;
    assert!(status == 503 && page.contains("Slack cannot be asked"), "{page}");
    app.simulator.clear_faults("users.info");
    assert_eq!(app.database.query("select count(*) from managers"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn manager_who_leaves_loses_the_grant() {
    let app = TestApp::installed().await;
    let ada = app.sign_in(ADA).await;
    for user in [GRACE, LINUS] {
        assert_eq!(app.name_manager(&ada, user).await.0, 303);
    }
    let (grace, linus) = (app.sign_in(GRACE).await, app.sign_in(LINUS).await);
    app.simulator.deactivate(TEAM, GRACE);
    app.simulator.update_person(TEAM, LINUS, |person| person.is_restricted = true);
    app.database.query("update sessions set checked_at = now() - interval '11 minutes'");
    assert_eq!(app.get_page_text(SETTINGS_PATH, &grace).await.0, 303, "her session has ended");
    assert_eq!(app.get_page_text(SETTINGS_PATH, &linus).await.0, 403, "a guest now");
    assert_eq!(app.database.query("select count(*) from managers"), "0");
    let revoked = "select count(*) from audit_log where action = 'manager_revoked' and actor = 'enablebot'";
    assert_eq!(app.database.query(revoked), "2");
}
