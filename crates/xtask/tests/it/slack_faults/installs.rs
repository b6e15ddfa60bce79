//! Rows 10 to 14: whose an event is, and how workspaces come and go.

use serde_json::json;
use xtask::cluster::free_port;

use crate::test_app::{ADA, PATIENCE, TEAM, TestApp};

/// Another workspace, and people of it.
const OTHER: &str = "T0BETA";
const OTHER_GRACE: &str = "U0GRACEBETA";

const ORG: &str = "E0ORG";

#[tokio::test(flavor = "multi_thread")]
async fn fault_10_uninstall_and_revocation_in_any_order_and_late_harm_no_newer_install() {
    let app = TestApp::installed().await;
    for _ in 0..2 {
        let (told, revoked) = ("app_uninstalled", "tokens_revoked");
        let before = [told, revoked].map(|kind| app.count_delivered(kind));
        // Slack promises no order of the two.
        app.simulator.uninstall(TEAM);
        app.delivered(told, before[0] + 1).await;
        app.delivered(revoked, before[1] + 1).await;
        app.idle().await;
        assert_eq!(app.database.ask("select count(*) from installations"), "0");
        app.install().await;
    }
    // What belongs to an earlier install comes late.
    app.database.ask("update installations set installed_at = installed_at - interval '1 minute'");
    let earlier =
        app.database.ask("select floor(extract(epoch from installed_at))::bigint - 1 from installations");
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
    app.idle().await;
    let outcomes = "select string_agg(distinct outcome, ',') from events where event_id like '%EvLATE%'";
    assert_eq!(app.database.ask(outcomes), "stale");
    let ts = app.say(ADA, None, "say: Still here.");
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Still here.");
}

impl TestApp {
    fn count_delivered(&self, event_type: &str) -> usize {
        let of_type = self.simulator.deliveries().into_iter().filter(|one| one.event_type == event_type);
        of_type.filter(|delivery| delivery.status == Some(200)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_11_in_slack_connect_the_tenant_is_that_of_the_authorization() {
    let app = TestApp::installed().await;
    app.simulator.add_team(OTHER, "Beta");
    app.install_in(OTHER).await;
    app.database.ask(&format!(
        "insert into channels (tenant_id, channel_id, external_allowed) values ('{TEAM}', 'C0GENERAL', true)"
    ));
    // The envelope's own `team_id` is that of the writer, who has the bot at home too.
    let ts = app.post(OTHER_GRACE, "general", None, "@bot say: Welcome, Beta.");
    assert!(app.reply("general", &ts).await.starts_with("Welcome, Beta."));
    let tenants = app.database.ask("select distinct tenant_id from events where kind = 'message'");
    assert_eq!(tenants, TEAM);
    let post = app.calls_of("chat.startStream").pop().expect("a stream");
    assert_eq!(post.team.as_deref(), Some(TEAM), "with the token of the workspace that was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_12_an_org_wide_install_is_kept_under_its_enterprise() {
    let app = TestApp::start().await;
    app.simulator.add_enterprise(ORG, "Org", &["T0NORTH", "T0SOUTH"]);
    let begun = app.begin_install().await;
    let back = app.simulator.allow_org_wide(&begun.authorize_url, ORG).expect("allowed");
    assert_eq!(app.come_back(&back, Some(&begun.cookie)).await.status(), 200);
    let stored = app.database.ask("select tenant_id, team_id, enterprise_id from installations");
    assert_eq!(stored, format!("{ORG}||{ORG}"));
    for team in ["T0NORTH", "T0SOUTH"] {
        app.simulator.grant_team(ORG, team).expect("granted");
        let bare = team.trim_start_matches("T0");
        let user = format!("U0GRACE{bare}");
        let dm = app.simulator.dm(team, &user).expect("a DM");
        let message =
            simulator::PostMessage { team: team.into(), ..app.message(&user, &dm, None, "say: Hi.") };
        let ts = app.simulator.post(message).expect("Slack takes it");
        assert_eq!(app.reply_in(team, &dm, &ts).await.shown(), "Hi.");
    }
    assert_eq!(app.database.ask("select distinct tenant_id from events"), ORG);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_13_a_state_of_one_replica_is_taken_by_another_at_another_address() {
    let app = TestApp::start().await;
    let other = app.add_web(free_port().expect("a port"));
    let begun = app.begin_install().await;
    assert!(!begun.cookie_attributes.contains("Domain"), "{}", begun.cookie_attributes);
    let back = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let query = back.split_once('?').expect("a query").1;
    // A proxy may have another name for it.
    let url = format!("http://localhost:{}/slack/oauth/callback?{query}", other.port);
    let page = app.http.get(url).header("cookie", &begun.cookie).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    app.idle().await;
    assert_eq!(app.database.ask("select tenant_id from installations"), TEAM);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_a_callback_that_comes_twice_installs_once_and_leads_back_to_the_start() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let back = app.simulator.allow(&begun.authorize_url).expect("allowed");
    let come = || app.come_back(&back, Some(&begun.cookie));
    let (one, two) = tokio::join!(come(), come());
    let three = come().await;
    let mut pages = [one, two, three];
    pages.sort_by_key(reqwest::Response::status);
    let statuses = pages.each_ref().map(|page| page.status().as_u16());
    assert_eq!(statuses, [200, 400, 400]);
    for page in pages.into_iter().skip(1) {
        let html = page.text().await.expect("a page");
        assert!(html.contains("no longer good") && html.contains("/slack/install"), "{html}");
    }
    app.idle().await;
    assert_eq!(app.calls_of("oauth.v2.access").len(), 1, "the code is used once");
    assert_eq!(app.database.ask("select count(*) from audit_log where action = 'installed'"), "1");
    let dm = app.dm(ADA);
    let welcomed = |world: &simulator::World| (!world.messages(TEAM, &dm).is_empty()).then_some(());
    app.simulator.wait_for(welcomed, PATIENCE).await.expect("a welcome");
    assert_eq!(app.simulator.messages(TEAM, &dm).len(), 1);
}
