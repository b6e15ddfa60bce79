//! Apps installed for a whole organisation (Enterprise Grid): one tenant, many workspaces.

use serde_json::{Value, json};
use simulator::{Message, PostMessage};

use crate::test_app::{PATIENCE, TestApp};

const ORG: &str = "E0ORG";
const NORTH: &str = "T0NORTH";
const SOUTH: &str = "T0SOUTH";

/// Installed by OAuth for all of the organisation, and in none of its workspaces yet.
async fn org_wide() -> TestApp {
    let app = TestApp::start().await;
    app.simulator.add_enterprise(ORG, "Org", &[NORTH, SOUTH]);
    let begun = app.begin_install().await;
    let back = app.simulator.allow_org_wide(&begun.authorize_url, ORG).expect("Slack allows it");
    let page = app.come_back(&back, Some(&begun.cookie)).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("a page").contains("EnableBot is now in Org"));
    app.idle().await;
    app
}

impl TestApp {
    /// Lets an admin of the organisation add the app to a workspace.
    async fn grant(&self, team: &str) {
        self.simulator.grant_team(ORG, team).expect("it is installed");
        self.becomes(&format!("select count(*) from team_access where team_id = '{team}'"), "1").await;
    }

    /// Posts in `#general` of a workspace; the message's `ts`.
    fn post_in(&self, team: &str, user: &str, text: &str) -> String {
        let bot = self.simulator.installation(ORG).expect("it is installed").bot_user_id;
        let text = text.replace("@bot", &format!("<@{bot}>"));
        let (team, user, channel) = (team.into(), user.into(), "general".into());
        let message = PostMessage { team, user, channel, text, ..PostMessage::default() };
        self.simulator.post(message).expect("Slack takes it")
    }

    /// The bot's one complete message in a thread of a workspace.
    async fn answer_in(&self, team: &str, thread_ts: &str) -> Message {
        let find = |world: &simulator::World| {
            let thread = world.thread(team, "general", thread_ts);
            thread.into_iter().find(|message| message.bot_id.is_some() && !message.streaming)
        };
        let found = self.simulator.wait_for(find, PATIENCE).await;
        let reply = found.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        self.idle().await;
        reply
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_wide_install_is_one_tenant_and_answers_in_each_workspace_it_was_let_into() {
    let app = org_wide().await;
    let stored = app.database.ask(
        "select tenant_id, coalesce(team_id, 'none'), enterprise_id, name from installations join tenants using (tenant_id)",
    );
    assert_eq!(stored, format!("{ORG}|none|{ORG}|Org"));
    for (team, user) in [(NORTH, "U0ADANORTH"), (SOUTH, "U0GRACESOUTH")] {
        app.grant(team).await;
        let before = app.simulator.calls().len();
        let ts = app.post_in(team, user, &format!("@bot say: Hello, {team}."));
        assert_eq!(app.answer_in(team, &ts).await.shown(), format!("Hello, {team}."));
        let calls = app.simulator.calls().split_off(before);
        let named: Vec<&Value> = calls.iter().map(|call| &call.args["team_id"]).collect();
        assert!(!calls.is_empty() && named.iter().all(|id| **id == json!(team)), "{calls:?}");
        assert!(calls.iter().all(|call| call.ok), "{calls:?}");
    }
    assert_eq!(app.database.ask("select distinct tenant_id from turns"), ORG);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_org_admin_lets_in_and_takes_out_is_recorded() {
    let app = org_wide().await;
    app.grant(NORTH).await;
    app.grant(SOUTH).await;
    app.simulator.revoke_team(ORG, SOUTH).expect("it was in");
    app.becomes("select string_agg(team_id, ' ') from team_access", NORTH).await;
    app.idle().await;
    let audited = "select string_agg(action || ' ' || (detail->'team_ids'->>0), ', ' order by entry_id)
                   from audit_log where action like 'team_access%'";
    let expected =
        format!("team_access_granted {NORTH}, team_access_granted {SOUTH}, team_access_revoked {SOUTH}");
    assert_eq!(app.database.ask(audited), expected);
    let ts = app.post_in(NORTH, "U0ADANORTH", "@bot say: Here I stay.");
    assert_eq!(app.answer_in(NORTH, &ts).await.shown(), "Here I stay.");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_workspace_it_was_not_let_into_the_reason_is_clear() {
    let app = org_wide().await;
    app.grant(NORTH).await;
    let body = json!({
        "type": "event_callback", "event_id": "EvTooSoon", "event_time": 1, "team_id": SOUTH,
        "enterprise_id": ORG, "context_team_id": SOUTH, "context_enterprise_id": ORG,
        "authorizations": [{"enterprise_id": ORG, "team_id": null, "user_id": "U0BOT0ORG", "is_bot": true,
                            "is_enterprise_install": true}],
        "event": {"type": "app_mention", "channel": "C0GENERALSOUTH", "channel_type": "channel",
                  "user": "U0ADASOUTH", "team": SOUTH, "text": "<@U0BOT0ORG> hello", "ts": "1.000100"},
    });
    assert_eq!(app.simulator.deliver_raw(body.to_string()).await.expect("an answer"), 200);
    app.idle().await;
    let fate = app.database.ask("select outcome, reason from events where event_id = 'EvTooSoon'");
    assert!(fate.starts_with("set_aside|") && fate.contains("team_access_not_granted"), "{fate}");
    assert_eq!(app.database.ask("select disabled_reason is null from installations"), "t");
    // The rest of the organisation is none the worse for it.
    let ts = app.post_in(NORTH, "U0ADANORTH", "@bot say: Business as usual.");
    assert_eq!(app.answer_in(NORTH, &ts).await.shown(), "Business as usual.");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_is_let_in_it_calls_for_nothing_and_then_greets_who_opens_it() {
    let app = org_wide().await;
    let called = app.simulator.calls();
    assert!(called.iter().all(|call| call.ok), "{called:?}");
    app.grant(NORTH).await;
    app.simulator.open_home(NORTH, "U0ADANORTH", "messages");
    app.becomes("select outcome from events where kind = 'conversation_opened'", "done").await;
    let messages = app.simulator.messages(NORTH, "D0ADANORTH");
    assert!(messages.len() == 1 && messages[0].text.starts_with("Hello!"), "{messages:?}");
    app.simulator.open_home(NORTH, "U0ADANORTH", "home");
    let home = app.simulator.wait_for(|world| world.home(NORTH, "U0ADANORTH"), PATIENCE).await;
    let home = home.expect("a Home tab").to_string();
    assert!(home.contains("I am installed in “Org”") && !home.contains("⚠️"), "{home}");
    app.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_and_commands_find_the_organisation_and_it_leaves_as_a_whole() {
    let app = org_wide().await;
    app.grant(NORTH).await;
    app.grant(SOUTH).await;
    let ts = app.post_in(NORTH, "U0ADANORTH", "@bot say: Judge me.");
    let reply = app.answer_in(NORTH, &ts).await;
    let event = app.database.ask("select event_id from events where outcome = 'answered'");
    let liked = format!("positive:{event}");
    let click = app.simulator.click(NORTH, "U0GRACENORTH", "general", &reply.ts, "feedback", Some(&liked));
    assert_eq!(click.await.expect("there is a button"), 200);
    app.becomes("select tenant_id, user_id from feedback", &format!("{ORG}|U0GRACENORTH")).await;
    let command = app.simulator.command(SOUTH, "U0GRACESOUTH", "general", "/enablebot", "status");
    assert_eq!(command.await.expect("an answer"), (200, String::new()));
    let told = |world: &simulator::World| world.ephemerals(SOUTH, "general").first().cloned();
    let (person, status) = app.simulator.wait_for(told, PATIENCE).await.expect("an answer");
    assert_eq!(person, "U0GRACESOUTH");
    assert!(status.shown().starts_with("I am installed in “Org”"), "{status:?}");
    app.idle().await;

    app.simulator.uninstall(ORG);
    app.becomes("select count(*) from tenants", "0").await;
    app.idle().await;
    assert_eq!(app.database.ask("select count(*) from team_access"), "0");
    assert!(app.operate(&["tenants", "receipts", ORG]).contains("The signature is right"));
}
