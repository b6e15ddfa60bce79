//! Apps installed for a whole organisation (Enterprise Grid): one tenant, many workspaces.

use serde_json::{Value, json};
use simulator::{PostMessage, SlackMessage};

use crate::test_app::{TEST_TIMEOUT, TestApp};

const ORG: &str = "E0ORG";
const NORTH: &str = "T0NORTH";
const SOUTH: &str = "T0SOUTH";

/// Installs by OAuth for the whole organisation, but in none of its workspaces yet.
async fn install_org_wide() -> TestApp {
    let app = TestApp::start().await;
    app.simulator.add_enterprise(ORG, "Org", &[NORTH, SOUTH]);
    let begun = app.begin_install().await;
    let back = app.simulator.allow_org_wide(&begun.authorize_url, ORG).expect("Slack allows it");
    let page = app.finish_install(&back, Some(&begun.cookie)).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("a page").contains("EnableBot is now in Org"));
    app.wait_idle().await;
    app
}

impl TestApp {
    /// Lets an admin of the organisation add the app to a workspace.
    async fn grant_workspace(&self, team: &str) {
        self.simulator.grant_team(ORG, team).expect("it is installed");
        self.wait_for_query(&format!("select count(*) from team_access where team_id = '{team}'"), "1").await;
    }

    /// Posts in `#general` of a workspace. Returns the message's `ts`.
    fn post_in_workspace(&self, team: &str, user: &str, text: &str) -> String {
        let bot = self.simulator.installation(ORG).expect("it is installed").bot_user_id;
        let text = text.replace("@bot", &format!("<@{bot}>"));
        let (team, user, channel) = (team.into(), user.into(), "general".into());
        let message = PostMessage { team, user, channel, text, ..PostMessage::default() };
        self.simulator.post(message).expect("Slack takes it")
    }

    /// Returns the bot's one complete message in a thread of a workspace.
    async fn wait_reply_in_workspace(&self, team: &str, thread_ts: &str) -> SlackMessage {
        let find = |world: &simulator::FakeSlack| {
            let thread = world.thread(team, "general", thread_ts);
            thread.into_iter().find(|message| message.bot_id.is_some() && !message.is_streaming)
        };
        let found = self.simulator.wait_for(find, TEST_TIMEOUT).await;
        let reply = found.unwrap_or_else(|error| panic!("{error}\n{}", self.api_logs()));
        self.wait_idle().await;
        reply
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn org_install_is_one_tenant_across_workspaces() {
    let app = install_org_wide().await;
    let stored = app.database.query(
        "select tenant_id, coalesce(team_id, 'none'), enterprise_id, name from installations join tenants using (tenant_id)",
    );
    assert_eq!(stored, format!("{ORG}|none|{ORG}|Org"));
    for (team, user) in [(NORTH, "U0ADANORTH"), (SOUTH, "U0GRACESOUTH")] {
        app.grant_workspace(team).await;
        let before = app.simulator.calls().len();
        let ts = app.post_in_workspace(team, user, &format!("@bot say: Hello, {team}."));
        assert_eq!(app.wait_reply_in_workspace(team, &ts).await.visible_text(), format!("Hello, {team}."));
        let calls = app.simulator.calls().split_off(before);
        let named: Vec<&Value> = calls.iter().map(|call| &call.args["team_id"]).collect();
        assert!(!calls.is_empty() && named.iter().all(|id| **id == json!(team)), "{calls:?}");
        assert!(calls.iter().all(|call| call.is_ok), "{calls:?}");
    }
    assert_eq!(app.database.query("select distinct tenant_id from chat_memory"), ORG);
}

#[tokio::test(flavor = "multi_thread")]
async fn workspace_admin_manages_no_organisation() {
    let app = install_org_wide().await;
    app.grant_workspace(NORTH).await;
    app.grant_workspace(SOUTH).await;
    let asked = app.post_in_workspace(SOUTH, "U0ADASOUTH", "@bot say: Only for the south.");
    app.wait_reply_in_workspace(SOUTH, &asked).await;
    let event_id = app.database.query("select event_id from events where outcome = 'answered'");
    // She is an admin and owner of her workspace alone.
    let ada = app.sign_in("U0ADANORTH").await;
    let (_, overview) = app.get_page_text("/dashboard", &ada).await;
    assert!(overview.contains("Your questions"), "{overview}");
    for page in ["settings", "people", "data", "audit", "api-keys", "health"] {
        assert_eq!(app.get_page_text(&format!("/dashboard/{page}"), &ada).await.0, 403, "{page}");
    }
    assert_eq!(app.get_page_text(&format!("/dashboard/events/{event_id}"), &ada).await.0, 404);
    let (_, events) = app.get_page_text("/dashboard/events", &ada).await;
    assert!(!events.contains(&event_id), "{events}");

    app.simulator.update_person(NORTH, "U0ADANORTH", |person| person.is_org_admin = true);
    app.database.query("update sessions set checked_at = now() - interval '11 minutes'");
    for page in ["settings", "people", "data", "audit", "api-keys", "health"] {
        assert_eq!(app.get_page_text(&format!("/dashboard/{page}"), &ada).await.0, 200, "{page}");
    }
    assert_eq!(app.get_page_text(&format!("/dashboard/events/{event_id}"), &ada).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn team_access_changes_are_audited() {
    let app = install_org_wide().await;
    app.grant_workspace(NORTH).await;
    app.grant_workspace(SOUTH).await;
    app.simulator.revoke_team(ORG, SOUTH).expect("it was in");
    app.wait_for_query("select string_agg(team_id, ' ') from team_access", NORTH).await;
    app.wait_idle().await;
    let audited = "select string_agg(action || ' ' || (detail->'team_ids'->>0), ', ' order by entry_id)
                   from audit_log where action like 'team_access%'";
    let expected =
        format!("team_access_granted {NORTH}, team_access_granted {SOUTH}, team_access_revoked {SOUTH}");
    assert_eq!(app.database.query(audited), expected);
    let ts = app.post_in_workspace(NORTH, "U0ADANORTH", "@bot say: Here I stay.");
    assert_eq!(app.wait_reply_in_workspace(NORTH, &ts).await.visible_text(), "Here I stay.");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_from_ungranted_workspace_has_reason() {
    let app = install_org_wide().await;
    app.grant_workspace(NORTH).await;
    let body = json!({
        "type": "event_callback", "event_id": "EvTooSoon", "event_time": 1, "team_id": SOUTH,
        "enterprise_id": ORG, "context_team_id": SOUTH, "context_enterprise_id": ORG,
        "authorizations": [{"enterprise_id": ORG, "team_id": null, "user_id": "U0BOT0ORG", "is_bot": true,
                            "is_enterprise_install": true}],
        "event": {"type": "app_mention", "channel": "C0GENERALSOUTH", "channel_type": "channel",
                  "user": "U0ADASOUTH", "team": SOUTH, "text": "<@U0BOT0ORG> hello", "ts": "1.000100"},
    });
    assert_eq!(app.simulator.deliver_raw(body.to_string()).await.expect("an answer"), 200);
    app.wait_idle().await;
    let fate = app.database.query("select outcome, reason from events where event_id = 'EvTooSoon'");
    assert!(fate.starts_with("set_aside|") && fate.contains("team_access_not_granted"), "{fate}");
    assert_eq!(app.database.query("select disabled_reason is null from installations"), "t");
    // The rest of the organisation is not affected.
    let ts = app.post_in_workspace(NORTH, "U0ADANORTH", "@bot say: Business as usual.");
    assert_eq!(app.wait_reply_in_workspace(NORTH, &ts).await.visible_text(), "Business as usual.");
}

#[tokio::test(flavor = "multi_thread")]
async fn welcome_waits_for_grant() {
    let app = install_org_wide().await;
    let called = app.simulator.calls();
    assert!(called.iter().all(|call| call.is_ok), "{called:?}");
    app.grant_workspace(NORTH).await;
    app.simulator.open_app_tab(NORTH, "U0ADANORTH", "messages");
    app.wait_for_query("select outcome from events where kind = 'conversation_opened'", "done").await;
    let messages = app.simulator.messages(NORTH, "D0ADANORTH");
    assert!(messages.len() == 1 && messages[0].text.starts_with("Hello!"), "{messages:?}");
    app.simulator.open_app_tab(NORTH, "U0ADANORTH", "home");
    let home = app.simulator.wait_for(|world| world.home(NORTH, "U0ADANORTH"), TEST_TIMEOUT).await;
    let home = home.expect("a Home tab").to_string();
    assert!(home.contains("Installed in Org") && !home.contains("⚠️"), "{home}");
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn org_interactions_and_uninstall_use_one_tenant() {
    let app = install_org_wide().await;
    app.grant_workspace(NORTH).await;
    app.grant_workspace(SOUTH).await;
    let ts = app.post_in_workspace(NORTH, "U0ADANORTH", "@bot say: Judge me.");
    let reply = app.wait_reply_in_workspace(NORTH, &ts).await;
    let event = app.database.query("select event_id from events where outcome = 'answered'");
    let liked = format!("positive:{event}");
    let click = app.simulator.click(NORTH, "U0GRACENORTH", "general", &reply.ts, "feedback", Some(&liked));
    assert_eq!(click.await.expect("there is a button"), 200);
    app.wait_for_query("select tenant_id, user_id from feedback", &format!("{ORG}|U0GRACENORTH")).await;
    let command = app.simulator.command(SOUTH, "U0GRACESOUTH", "general", "/enablebot", "status");
    assert_eq!(command.await.expect("an answer"), (200, String::new()));
    let told = |world: &simulator::FakeSlack| world.ephemerals(SOUTH, "general").first().cloned();
    let (person, status) = app.simulator.wait_for(told, TEST_TIMEOUT).await.expect("an answer");
    assert_eq!(person, "U0GRACESOUTH");
    assert!(status.visible_text().starts_with("Installed in Org"), "{status:?}");
    app.wait_idle().await;

    app.simulator.uninstall(ORG);
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.wait_idle().await;
    assert_eq!(app.database.query("select count(*) from team_access"), "0");
    assert!(app.run_cli(&["tenants", "receipts", ORG]).contains("Signature valid"));
}
