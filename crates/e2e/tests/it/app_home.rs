//! The bot in Slack apart from its replies: Home tab, first messages, prompts, titles, status.

use serde_json::Value;
use simulator::{SimulatedUser, SlackMessage};
use slack::SUGGESTED_PROMPTS;

use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Returns a person's Home tab once it is published.
    async fn wait_home(&self, user: &str) -> String {
        let published = |world: &simulator::FakeSlack| world.home(TEAM, user);
        let home = self.simulator.wait_for(published, TEST_TIMEOUT).await;
        home.unwrap_or_else(|error| panic!("{error}\n{}", self.api_logs())).to_string()
    }

    /// Returns the bot's messages at the top level of a person's DM.
    fn greetings(&self, user: &str) -> Vec<SlackMessage> {
        let mut messages = self.simulator.messages(TEAM, &self.dm(user));
        messages.retain(|message| message.bot_id.is_some() && message.thread_ts.is_none());
        messages
    }

    async fn wait_done(&self, kind: &str, count: usize) {
        let sql = format!("select count(*) from events where kind = '{kind}' and outcome = 'done'");
        self.wait_for_query(&sql, &count.to_string()).await;
    }

    fn instructions(&self) -> String {
        self.last_prompt()[0]["content"].as_str().expect("text").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn home_tab_shows_setup() {
    let app = TestApp::installed().await;
    app.simulator.open_app_tab(TEAM, ADA, "home");
    let home = app.wait_home(ADA).await;
    for told in ["Installed in Acme", "No messages waiting.", SUGGESTED_PROMPTS[0].1, "/enablebot"] {
        assert!(home.contains(told), "{told}: {home}");
    }
    assert!(!home.contains("is not granted"), "{home}");
    app.wait_done("home_opened", 1).await;
    assert_eq!(app.greetings(ADA).len(), 1, "only the installer's welcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn home_tab_names_missing_scopes() {
    let app = TestApp::start().await;
    let begun = app.begin_install().await;
    let fewer = begun.authorize_url.replacen("files%3Aread", "", 1);
    assert_ne!(fewer, begun.authorize_url);
    let back = app.simulator.allow(&fewer).expect("Slack allows it");
    assert_eq!(app.finish_install(&back, Some(&begun.cookie)).await.status(), 200);
    app.wait_idle().await;
    app.simulator.open_app_tab(TEAM, ADA, "home");
    let home = app.wait_home(ADA).await;
    assert!(home.contains("`files:read` is not granted: I cannot read files"), "{home}");
    assert!(!home.contains("`chat:write`"), "{home}");
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_dm_suggests_prompts_and_greets_once() {
    let app = TestApp::installed().await;
    for _ in 0..3 {
        app.simulator.open_app_tab(TEAM, GRACE, "messages");
    }
    app.wait_done("conversation_opened", 3).await;
    let greetings = app.greetings(GRACE);
    assert_eq!(greetings.len(), 1, "{greetings:?}");
    assert!(greetings[0].text.starts_with("Hello! I answer questions"), "{greetings:?}");
    let prompts = app.simulator.prompts(TEAM, &app.dm(GRACE), None);
    let expected: Vec<_> = SUGGESTED_PROMPTS
        .iter()
        .map(|(title, message)| ((*title).to_owned(), (*message).to_owned()))
        .collect();
    assert_eq!(prompts, expected);
    // The person who installed the bot has already received the first message.
    app.simulator.open_app_tab(TEAM, ADA, "messages");
    app.wait_done("conversation_opened", 4).await;
    assert_eq!(app.greetings(ADA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_new_members_are_greeted() {
    let app = TestApp::installed().await;
    let person = |id: &str| SimulatedUser { id: id.into(), name: "New".into(), ..SimulatedUser::default() };
    app.simulator.add_person(TEAM, person("U0NEW"));
    app.wait_done("team_joined", 1).await;
    app.simulator.open_app_tab(TEAM, "U0NEW", "messages");
    app.wait_done("conversation_opened", 1).await;
    assert_eq!(app.greetings("U0NEW").len(), 1);
    app.simulator.add_person(TEAM, SimulatedUser { is_restricted: true, ..person("U0GUEST") });
    app.simulator.add_person(TEAM, SimulatedUser { is_bot: true, ..person("U0ROBOT") });
    app.wait_for_query("select count(*) from ignored_events where reason like 'team_join%'", "2").await;
    assert!(app.greetings("U0GUEST").is_empty() && app.greetings("U0ROBOT").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn viewed_channel_reaches_prompt() {
    let app = TestApp::installed().await;
    app.simulator.view_channel(TEAM, ADA, Some("random"));
    app.wait_done("context_changed", 1).await;
    let ts = app.send_dm(ADA, None, "say: I see.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    assert!(app.instructions().contains("they look at the channel C0RANDOM"), "{}", app.instructions());
    // Other people and channels get none.
    for (user, channel) in [(GRACE, app.dm(GRACE)), (ADA, "general".into())] {
        let ts = app.post(user, &channel, None, "@bot say: I see.");
        app.wait_reply(&channel, &ts).await;
        assert!(!app.instructions().contains("C0RANDOM"), "{}", app.instructions());
    }
    app.simulator.view_channel(TEAM, ADA, None);
    app.wait_done("context_changed", 2).await;
    let ts = app.send_dm(ADA, None, "say: Nothing.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    assert!(!app.instructions().contains("C0RANDOM"), "{}", app.instructions());
}

#[tokio::test(flavor = "multi_thread")]
async fn thread_title_is_first_question() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "How do I brew tea?\nsay: With water.");
    app.wait_reply(&dm, &ts).await;
    let title = |world: &simulator::FakeSlack| world.title(TEAM, &dm, &ts);
    let named = app.simulator.wait_for(title, TEST_TIMEOUT).await.expect("a title");
    assert_eq!(named, "How do I brew tea?");
    app.send_dm(ADA, Some(&ts), "say: And coffee?");
    app.wait_replies(&dm, &ts, 2).await;
    app.wait_settled().await;
    assert_eq!(app.simulator.title(TEAM, &dm, &ts).as_deref(), Some("How do I brew tea?"));
    let ts = app.post(ADA, "general", None, "@bot say: In a channel there is none.");
    app.wait_reply("general", &ts).await;
    assert_eq!(app.simulator.title(TEAM, "general", &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_workspace_uses_assistant_status_api() {
    let app = TestApp::start_with(|settings| settings.has_agent_sessions = false, &[]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=700&gap=0");
    let dm = app.dm(ADA);
    app.simulator.open_app_tab(TEAM, ADA, "messages");
    app.wait_done("conversation_opened", 1).await;
    let root = app.simulator.messages(TEAM, &dm).pop().expect("Slack opens a thread").ts;
    assert_eq!(app.simulator.prompts(TEAM, &dm, Some(&root)).len(), SUGGESTED_PROMPTS.len());

    let ts = app.send_dm(ADA, None, "say: The first learns it.");
    app.wait_reply(&dm, &ts).await;
    let sessions = || -> usize {
        app.simulator.calls().iter().filter(|call| call.method.starts_with("agents.sessions")).count()
    };
    let learned = sessions();
    let ts = app.send_dm(ADA, None, "say: The second knows.");
    let thinks = |world: &simulator::FakeSlack| world.status(TEAM, &dm, &ts);
    let status = app.simulator.wait_for(thinks, TEST_TIMEOUT).await.expect("a status");
    assert_eq!(status, "is thinking…");
    app.wait_reply(&dm, &ts).await;
    assert_eq!(sessions(), learned, "it is not tried again");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
    let told: Vec<Value> =
        app.slack_calls("assistant.threads.setStatus").into_iter().map(|call| call.args).collect();
    assert!(told.iter().any(|args| args["thread_ts"] == ts.as_str()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_uses_one_api() {
    let app = TestApp::installed().await;
    let ts = app.send_dm(ADA, None, "say: One is enough.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    let states: Vec<Value> =
        app.slack_calls("agents.sessions.setStatus").into_iter().map(|call| call.args).collect();
    let of_thread: Vec<&str> = states.iter().filter_map(|args| args["status"].as_str()).collect();
    assert_eq!(of_thread, ["processing", "active"]);
    assert!(app.slack_calls("assistant.threads.setStatus").is_empty());
}
