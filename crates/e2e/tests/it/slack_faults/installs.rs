//! Faults 10 to 14: the owner of an event, and workspaces that come and go.

use serde_json::json;
use xtask::cluster::free_port;

use crate::test_app::{ADA, BETA, BETA_GRACE, TEAM, TEST_TIMEOUT, TestApp};

const ENTERPRISE: &str = "E0ORG";

/// Fault 10.
#[tokio::test(flavor = "multi_thread")]
async fn late_uninstall_is_ignored() {
    let app = TestApp::installed().await;
    for _ in 0..2 {
        let (told, revoked) = ("app_uninstalled", "tokens_revoked");
        let before = [told, revoked].map(|kind| app.count_delivered(kind));
        // Slack does not guarantee the order of the two.
        app.simulator.uninstall(TEAM);
        app.wait_delivered(told, before[0] + 1).await;
        app.wait_delivered(revoked, before[1] + 1).await;
        app.wait_idle().await;
        assert_eq!(app.database.query("select count(*) from installations"), "0");
        app.install().await;
    }
    // Events of an earlier installation arrive late.
    app.database.query("update installations set installed_at = installed_at - interval '1 minute'");
    let earlier =
        app.database.query("select floor(extract(epoch from installed_at))::bigint - 1 from installations");
    let earlier: i64 = earlier.parse().expect("seconds");
    let late = [
        json!({"type": "app_uninstalled", "event_ts": "1.000001"}),
        json!({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": ["U0BOT0ACME"]}, "event_ts": "1.000002"}),
        json!({"type": "app_uninstalled", "event_ts": "1.000001"}),
    ];
    for (at, event) in late.into_iter().enumerate() {
        let body = app.envelope(&format!("EvLATE{at}"), earlier, event).to_string();
        assert_eq!(app.simulator.deliver_raw(body).await.expect("an answer"), 200);
    }
    app.wait_idle().await;
    let outcomes = "select string_agg(distinct outcome, ',') from events where event_id like '%EvLATE%'";
    assert_eq!(app.database.query(outcomes), "stale");
    let ts = app.send_dm(ADA, None, "say: Still here.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Still here.");
}

impl TestApp {
    fn count_delivered(&self, event_type: &str) -> usize {
        let of_type = self.simulator.deliveries().into_iter().filter(|one| one.event_type == event_type);
        of_type.filter(|delivery| delivery.status == Some(200)).count()
    }
}

/// Fault 11.
#[tokio::test(flavor = "multi_thread")]
async fn slack_connect_tenant_is_authorized_team() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.database.query(&format!(
        "insert into channels (tenant_id, channel_id, external_allowed) values ('{TEAM}', 'C0GENERAL', true)"
    ));
    // The envelope's own `team_id` is the writer's, whose workspace has the bot too.
    let ts = app.post(BETA_GRACE, "general", None, "@bot say: Welcome, Beta.");
    assert!(app.wait_reply("general", &ts).await.starts_with("Welcome, Beta."));
    let tenants = app.database.query("select distinct tenant_id from events where kind = 'message'");
    assert_eq!(tenants, TEAM);
    let post = app.slack_calls("chat.startStream").pop().expect("a stream");
    assert_eq!(post.tenant.as_deref(), Some(TEAM), "with the token of the workspace that was asked");
}

/// Fault 12.
#[tokio::test(flavor = "multi_thread")]
async fn org_install_is_stored_by_enterprise_id() {
    let app = TestApp::start().await;
    app.simulator.add_enterprise(ENTERPRISE, "Org", &["T0NORTH", "T0SOUTH"]);
    let begun = app.begin_install().await;
    let back = app.simulator.allow_org_wide(&begun.authorize_url, ENTERPRISE).expect("allowed");
    assert_eq!(app.finish_install(&back, Some(&begun.cookie)).await.status(), 200);
    let stored = app.database.query("select tenant_id, team_id, enterprise_id from installations");
    assert_eq!(stored, format!("{ENTERPRISE}||{ENTERPRISE}"));
    for team in ["T0NORTH", "T0SOUTH"] {
        app.simulator.grant_team(ENTERPRISE, team).expect("granted");
        let bare = team.trim_start_matches("T0");
        let user = format!("U0GRACE{bare}");
        let dm = app.simulator.dm(team, &user).expect("a DM");
        let message =
            simulator::PostMessage { team: team.into(), ..app.new_message(&user, &dm, None, "say: Hi.") };
        let ts = app.simulator.post(message).expect("Slack takes it");
        assert_eq!(app.wait_reply_in_team(team, &dm, &ts).await.visible_text(), "Hi.");
    }
    assert_eq!(app.database.query("select distinct tenant_id from events"), ENTERPRISE);
}

/// Fault 13.
#[tokio::test(flavor = "multi_thread")]
async fn oauth_state_is_valid_on_other_replica() {
    let app = TestApp::start().await;
    let other = app.add_web(free_port().expect("a port"));
    let begun = app.begin_install().await;
    assert!(!begun.cookie_attributes.contains("Domain"), "{}", begun.cookie_attributes);
    let back = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let query = back.split_once('?').expect("a query").1;
    // A proxy may use another host name.
    let url = format!("http://localhost:{}/slack/oauth/callback?{query}", other.port);
    let page = app.http.get(url).header("cookie", &begun.cookie).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    app.wait_idle().await;
    assert_eq!(app.database.query("select tenant_id from installations"), TEAM);
}

/// Fault 14.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_oauth_callback_installs_once() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let back = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let come = || app.finish_install(&back, Some(&begun.cookie));
    let (one, two) = tokio::join!(come(), come());
    let three = come().await;
    let mut pages = [one, two, three];
    pages.sort_by_key(reqwest::Response::status);
    let statuses = pages.each_ref().map(|page| page.status().as_u16());
    assert_eq!(statuses, [200, 400, 400]);
    for page in pages.into_iter().skip(1) {
        let html = page.text().await.expect("a page");
        assert!(html.contains("link has expired") && html.contains("/slack/install"), "{html}");
    }
    app.wait_idle().await;
    assert_eq!(app.slack_calls("oauth.v2.access").len(), 1, "the code is used once");
    assert_eq!(app.database.query("select count(*) from audit_log where action = 'installed'"), "1");
    let dm = app.dm(ADA);
    let welcomed = |world: &simulator::FakeSlack| (!world.messages(TEAM, &dm).is_empty()).then_some(());
    app.simulator.wait_for(welcomed, TEST_TIMEOUT).await.expect("a welcome");
    assert_eq!(app.simulator.messages(TEAM, &dm).len(), 1);
}
