//! Buttons and commands: as durable as events, and for the person alone.

use serde_json::{Value, json};
use simulator::Fault;

use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

const COMMAND: &str = "/enablebot";

impl TestApp {
    /// Types `/enablebot …` in `#general`; what the bot answers, which only that person sees.
    async fn command(&self, user: &str, text: &str) -> String {
        let before = self.simulator.ephemerals(TEAM, "general").len();
        let (status, body) =
            self.simulator.command(TEAM, user, "general", COMMAND, text).await.expect("an answer");
        assert_eq!((status, body.as_str()), (200, ""), "acknowledged, and answered later");
        let answered = |world: &simulator::World| world.ephemerals(TEAM, "general").get(before).cloned();
        let answered = self.simulator.wait_for(answered, PATIENCE).await;
        let (person, answer) = answered.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        assert_eq!(person, user);
        self.idle().await;
        answer.shown()
    }

    async fn press(&self, user: &str, ts: &str, action_id: &str, value: Option<&str>) {
        let clicked = self.simulator.click(TEAM, user, &self.dm(ADA), ts, action_id, value).await;
        assert_eq!(clicked.expect("there is a button"), 200);
    }

    /// Ada asks in her DM and is answered; her message's `ts`, and the answer's.
    async fn asked(&self, text: &str) -> (String, String) {
        let ts = self.say(ADA, None, text);
        let reply = self.replies(&self.dm(ADA), &ts, 1).await.remove(0);
        (ts, reply.ts)
    }

    fn last_message_event(&self) -> String {
        self.database.ask("select event_id from events where kind = 'message' order by seq desc limit 1")
    }

    /// Kills the one replica, and starts another in its place.
    fn die_and_rise(&mut self) {
        self.apis[0].kill().expect("it is killed");
        self.apis.clear();
        self.add_api(self.settings.ports.api, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_kept_and_the_newest_counts() {
    let app = TestApp::installed().await;
    let (_, reply) = app.asked("say: Was that of any use?").await;
    let event = app.last_message_event();
    for (judgement, kept) in [("positive", "t"), ("negative", "f")] {
        app.press(ADA, &reply, "feedback", Some(&format!("{judgement}:{event}"))).await;
        let row = format!("{event}|{ADA}|{kept}");
        app.becomes("select event_id, user_id, positive from feedback", &row).await;
    }
    app.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_try_again_gives_the_answer_in_the_same_message() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0&fail=400");
    let (ts, sorry) = app.asked("say: At the second try.").await;
    let dm = app.dm(ADA);
    assert!(app.bots(&dm, &ts)[0].shown().starts_with("Sorry,"));
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.press(ADA, &sorry, "try_again", None).await;
    app.becomes("select outcome from events where kind = 'message'", "answered").await;
    app.idle().await;
    let replies = app.bots(&dm, &ts);
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!((replies[0].ts.as_str(), replies[0].shown().as_str()), (sorry.as_str(), "At the second try."));
    let blocks = replies[0].blocks.as_ref().map(Value::to_string).unwrap_or_default();
    assert!(blocks.contains("feedback") && !blocks.contains("try_again"), "{blocks}");
    assert_eq!(app.simulator.status(TEAM, &dm, &ts), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn try_again_pressed_twice_answers_once() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0&fail=400");
    let (ts, sorry) = app.asked("say: Only once.").await;
    app.simulator.set_model_behaviour("ttft=500&gap=0");
    let before = app.simulator.model_requests().len();
    tokio::join!(app.press(ADA, &sorry, "try_again", None), app.press(ADA, &sorry, "try_again", None));
    app.becomes("select count(*) from events where kind = 'try_again' and outcome = 'done'", "2").await;
    app.becomes("select outcome from events where kind = 'message'", "answered").await;
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Only once.");
    assert_eq!(app.simulator.model_requests().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_answered_to_the_person_alone() {
    let app = TestApp::installed().await;
    for asks in ["", "help", "HELP"] {
        assert!(app.command(ADA, asks).await.starts_with("Write to me in our conversation"));
    }
    assert!(app.command(ADA, "sing").await.starts_with("I do not know that one.\n\nWrite to me"));
    let status = app.command(GRACE, " Status ").await;
    assert!(status.starts_with("I am installed in “Acme” since"), "{status}");
    assert!(status.contains("Nothing waits for me."), "{status}");
    assert!(app.simulator.messages(TEAM, "general").is_empty(), "nobody else reads it");
    assert!(app.simulator.model_requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forget_me_deletes_what_was_said_with_one_person_only() {
    let app = TestApp::installed().await;
    let (ts, _) = app.asked("say: My secret is the heron.").await;
    let hers = app.say(GRACE, None, "say: Mine is the crane.");
    app.reply(&app.dm(GRACE), &hers).await;
    let answer = app.command(ADA, "forget me").await;
    assert!(answer.starts_with("Done: I have forgotten you, and 2 messages"), "{answer}");
    assert_eq!(app.database.ask("select distinct user_id from turns"), GRACE);
    for table in ["usage", "feedback", "events"] {
        let left = format!(
            "select count(*) from {table} where user_id = '{ADA}' and {}",
            if table == "events" { "kind = 'message'" } else { "true" }
        );
        assert_eq!(app.database.ask(&left), "0", "{table}");
    }
    let audited = "select actor, detail->>'turns' from audit_log where action = 'person_forgotten'";
    assert_eq!(app.database.ask(audited), format!("{ADA}|2"));
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.say(ADA, Some(&ts), "what did I say?");
    app.replies(&app.dm(ADA), &ts, 2).await;
    let prompt = json!(app.last_prompt()).to_string();
    assert!(!prompt.contains("heron"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn export_sends_a_file_with_the_persons_own_words() {
    let app = TestApp::installed().await;
    app.asked("say: My secret is the heron.").await;
    let hers = app.say(GRACE, None, "say: Mine is the crane.");
    app.reply(&app.dm(GRACE), &hers).await;
    assert!(app.command(ADA, "export").await.starts_with("I have sent it to you as a file"));
    let files = app.simulator.files(TEAM, &app.dm(ADA));
    assert_eq!((files.len(), files[0].name.as_str()), (1, "enablebot-export.json"));
    let export: Value = serde_json::from_slice(&files[0].content).expect("JSON");
    assert_eq!((&export["user_id"], &export["name"]), (&json!(ADA), &json!("Ada")));
    let words = export["conversations"].to_string();
    assert!(words.contains("say: My secret is the heron.") && !words.contains("crane"), "{export}");
    assert_eq!(app.database.ask("select count(*) from audit_log where action = 'person_exported'"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_done_is_answered_too() {
    let app = TestApp::installed().await;
    app.simulator.fail("files.getUploadURLExternal", Fault::Error("missing_scope"), 1);
    let answer = app.command(ADA, "export").await;
    assert!(answer.starts_with("Sorry, that did not work"), "{answer}");
    let status = app.command(ADA, "status").await;
    assert!(status.contains("`files.getUploadURLExternal: missing_scope`"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_check_needs_no_signature_and_nothing_behind_it_is_read() {
    let app = TestApp::installed().await;
    let (_, reply) = app.asked("say: Judge me.").await;
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
    let kinds = app.database.ask("select count(*) from events where kind not in ('message', 'welcome')");
    assert_eq!(kinds, "0", "nothing was stored");
    assert_eq!(app.database.ask("select count(*) from feedback"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pressed_and_typed_survives_the_death_of_who_acknowledged_it() {
    let mut app = TestApp::installed().await;
    let (_, reply) = app.asked("say: Judge me.").await;
    // From here on the replica only receives: it is dead before anybody has acted.
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[("MAX_CONCURRENT_REPLIES", "0")]);
    let liked = format!("positive:{}", app.last_message_event());
    app.press(ADA, &reply, "feedback", Some(&liked)).await;
    let command = app.simulator.command(TEAM, ADA, "general", COMMAND, "help").await;
    assert_eq!(command.expect("an answer"), (200, String::new()));
    app.die_and_rise();
    app.becomes("select positive from feedback", "t").await;
    app.idle().await;
    let answers = app.simulator.ephemerals(TEAM, "general");
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].1.shown().starts_with("Write to me"), "{answers:?}");
}
