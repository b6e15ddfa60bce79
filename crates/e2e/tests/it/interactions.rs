//! Buttons and commands: as durable as events, and visible only to the person.

use serde_json::{Value, json};
use simulator::InjectedFault;

use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

const SLASH_COMMAND: &str = "/enablebot";

impl TestApp {
    /// Runs `/enablebot …` in `#general`. Returns the response, which only that person sees.
    async fn run_slash_command(&self, user: &str, text: &str) -> String {
        let before = self.simulator.ephemerals(TEAM, "general").len();
        let (status, body) =
            self.simulator.command(TEAM, user, "general", SLASH_COMMAND, text).await.expect("an answer");
        assert_eq!((status, body.as_str()), (200, ""), "acknowledged, and answered later");
        let answered = |world: &simulator::FakeSlack| world.ephemerals(TEAM, "general").get(before).cloned();
        let answered = self.simulator.wait_for(answered, TEST_TIMEOUT).await;
        let (person, answer) = answered.unwrap_or_else(|error| panic!("{error}\n{}", self.api_logs()));
        assert_eq!(person, user);
        self.wait_idle().await;
        answer.visible_text()
    }

    async fn press_button(&self, user: &str, ts: &str, action_id: &str, value: Option<&str>) {
        let clicked = self.simulator.click(TEAM, user, &self.dm(ADA), ts, action_id, value).await;
        assert_eq!(clicked.expect("there is a button"), 200);
    }

    /// Asks as Ada in her DM and waits for the reply. Returns the `ts` of both messages.
    async fn ask_in_dm(&self, text: &str) -> (String, String) {
        let ts = self.send_dm(ADA, None, text);
        let reply = self.wait_replies(&self.dm(ADA), &ts, 1).await.remove(0);
        (ts, reply.ts)
    }

    fn last_message_event(&self) -> String {
        self.database.query("select event_id from events where kind = 'message' order by seq desc limit 1")
    }

    /// Kills the only replica and starts another one.
    fn restart_api_after_kill(&mut self) {
        self.apis[0].kill().expect("it is killed");
        self.apis.clear();
        self.add_api(self.settings.ports.api, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_feedback_wins() {
    let app = TestApp::installed().await;
    let (_, reply) = app.ask_in_dm("say: Was that of any use?").await;
    let event = app.last_message_event();
    for (judgement, kept) in [("positive", "t"), ("negative", "f")] {
        app.press_button(ADA, &reply, "feedback", Some(&format!("{judgement}:{event}"))).await;
        let row = format!("{event}|{ADA}|{kept}");
        app.wait_for_query("select event_id, user_id, positive from feedback", &row).await;
    }
    app.wait_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_button_fills_same_message() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=400");
    let (ts, sorry) = app.ask_in_dm("say: At the second try.").await;
    let dm = app.dm(ADA);
    assert!(app.bot_messages(&dm, &ts)[0].visible_text().starts_with("The model couldn't"));
    app.simulator.set_model_options("ttft=0&gap=0");
    app.press_button(ADA, &sorry, "try_again", None).await;
    app.wait_for_query("select outcome from events where kind = 'message'", "answered").await;
    app.wait_idle().await;
    let replies = app.bot_messages(&dm, &ts);
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(
        (replies[0].ts.as_str(), replies[0].visible_text().as_str()),
        (sorry.as_str(), "At the second try.")
    );
    let blocks = replies[0].blocks.as_ref().map(Value::to_string).unwrap_or_default();
    assert!(blocks.contains("feedback") && !blocks.contains("try_again"), "{blocks}");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_pressed_twice_replies_once() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=400");
    let (ts, sorry) = app.ask_in_dm("say: Only once.").await;
    app.simulator.set_model_options("ttft=500&gap=0");
    let before = app.simulator.model_requests().len();
    tokio::join!(
        app.press_button(ADA, &sorry, "try_again", None),
        app.press_button(ADA, &sorry, "try_again", None)
    );
    app.wait_for_query("select count(*) from events where kind = 'try_again' and outcome = 'done'", "2")
        .await;
    app.wait_for_query("select outcome from events where kind = 'message'", "answered").await;
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Only once.");
    assert_eq!(app.simulator.model_requests().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn command_replies_are_ephemeral() {
    let app = TestApp::installed().await;
    for asks in ["", "help", "HELP"] {
        assert!(app.run_slash_command(ADA, asks).await.starts_with("Send me a direct message"));
    }
    assert!(app.run_slash_command(ADA, "sing").await.starts_with("I do not know this command.\n\nSend me"));
    let status = app.run_slash_command(GRACE, " Status ").await;
    assert!(status.starts_with("Installed in Acme since"), "{status}");
    assert!(status.contains("No messages waiting."), "{status}");
    assert!(app.simulator.messages(TEAM, "general").is_empty(), "it is private");
    assert!(app.simulator.model_requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forget_me_deletes_own_messages() {
    let app = TestApp::installed().await;
    let (ts, _) = app.ask_in_dm("say: My secret is the heron.").await;
    let hers = app.send_dm(GRACE, None, "say: Mine is the crane.");
    app.wait_reply(&app.dm(GRACE), &hers).await;
    let answer = app.run_slash_command(ADA, "forget me").await;
    assert!(answer.starts_with("Done. I deleted your profile and 2 messages"), "{answer}");
    assert_eq!(app.database.query("select distinct user_id from chat_memory"), GRACE);
    for table in ["usage", "feedback", "events"] {
        let left = format!(
            "select count(*) from {table} where user_id = '{ADA}' and {}",
            if table == "events" { "kind = 'message'" } else { "true" }
        );
        assert_eq!(app.database.query(&left), "0", "{table}");
    }
    let audited = "select actor, detail->>'messages' from audit_log where action = 'person_forgotten'";
    assert_eq!(app.database.query(audited), format!("{ADA}|2"));
    app.simulator.set_model_options("ttft=0&gap=0");
    app.send_dm(ADA, Some(&ts), "what did I say?");
    app.wait_replies(&app.dm(ADA), &ts, 2).await;
    let prompt = json!(app.last_prompt()).to_string();
    assert!(!prompt.contains("heron"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn export_command_sends_only_own_messages() {
    let app = TestApp::installed().await;
    app.ask_in_dm("say: My secret is the heron.").await;
    let hers = app.send_dm(GRACE, None, "say: Mine is the crane.");
    app.wait_reply(&app.dm(GRACE), &hers).await;
    assert!(app.run_slash_command(ADA, "export").await.starts_with("I sent you the file"));
    let files = app.simulator.files(TEAM, &app.dm(ADA));
    assert_eq!((files.len(), files[0].name.as_str()), (1, "enablebot-export.json"));
    let export: Value = serde_json::from_slice(&files[0].content).expect("JSON");
    assert_eq!((&export["user_id"], &export["name"]), (&json!(ADA), &json!("Ada")));
    let words = export["conversations"].to_string();
    assert!(words.contains("say: My secret is the heron.") && !words.contains("crane"), "{export}");
    assert_eq!(app.database.query("select count(*) from audit_log where action = 'person_exported'"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_command_gets_error_reply() {
    let app = TestApp::installed().await;
    app.simulator.inject_fault("files.getUploadURLExternal", InjectedFault::Error("missing_scope"), 1);
    let answer = app.run_slash_command(ADA, "export").await;
    assert!(answer.starts_with("Sorry, that did not work"), "{answer}");
    let status = app.run_slash_command(ADA, "status").await;
    assert!(status.contains("`files.getUploadURLExternal: missing_scope`"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssl_check_is_unsigned_and_ignores_payload() {
    let app = TestApp::installed().await;
    let (_, reply) = app.ask_in_dm("say: Judge me.").await;
    assert_eq!(app.simulator.probe_ssl().await.expect("answers"), [200; 4]);
    let event = app.last_message_event();
    let payload = json!({
        "type": "block_actions", "trigger_id": "1.2.3", "user": {"id": ADA}, "team": {"id": TEAM},
        "channel": {"id": app.dm(ADA)}, "message": {"ts": reply},
        "actions": [{"action_id": "feedback", "value": format!("positive:{event}")}],
    });
    let pair = |name: &str, value: &str| {
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        format!("{name}={encoded}")
    };
    let payload = pair("payload", &payload.to_string());
    let command = format!(
        "command=%2Fenablebot&text=forget+me&team_id={TEAM}&user_id={ADA}&channel_id=C0GENERAL&trigger_id=9&response_url=http%3A%2F%2F127.0.0.1%2F"
    );
    for (path, form) in [("interactions", payload), ("commands", command)] {
        let post =
            |body: String| app.http.post(format!("{}/slack/{path}", app.apis[0].url())).body(body).send();
        assert_eq!(post(format!("ssl_check=1&{form}")).await.expect("an answer").status(), 200);
        assert_eq!(post(format!("{form}&ssl_check=1")).await.expect("an answer").status(), 401);
        assert_eq!(post(form).await.expect("an answer").status(), 401);
    }
    let kinds = app.database.query("select count(*) from events where kind not in ('message', 'welcome')");
    assert_eq!(kinds, "0", "nothing was stored");
    assert_eq!(app.database.query("select count(*) from feedback"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_interactions_survive_crash() {
    let mut app = TestApp::installed().await;
    let (_, reply) = app.ask_in_dm("say: Judge me.").await;
    // From here on the replica only receives: it is killed before the request is handled.
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[("MAX_CONCURRENT_REPLIES", "0")]);
    let liked = format!("positive:{}", app.last_message_event());
    app.press_button(ADA, &reply, "feedback", Some(&liked)).await;
    let command = app.simulator.command(TEAM, ADA, "general", SLASH_COMMAND, "help").await;
    assert_eq!(command.expect("an answer"), (200, String::new()));
    app.restart_api_after_kill();
    app.wait_for_query("select positive from feedback", "t").await;
    app.wait_idle().await;
    let answers = app.simulator.ephemerals(TEAM, "general");
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].1.visible_text().starts_with("Send me"), "{answers:?}");
}
