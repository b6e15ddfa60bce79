//! Text from people, files and names is data. Each attempt of `prompt_injections.txt` is sent as a message to
//! a model that obeys it; then the test checks what the model was shown and what was posted in Slack.

use serde_json::json;
use simulator::{NewFile, PostMessage, SimulatedUser, SlackMessage};

use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TestApp};

/// Facts that only another workspace, and only another person, has told.
const OTHER_TENANT_SECRET: &str = "The falcon lands at midnight.";
const OTHER_PERSON_SECRET: &str = "The osprey nests on Tuesday.";

/// Returns how each attempt arrives, and its text.
fn injection_attempts() -> Vec<(&'static str, &'static str)> {
    let all = include_str!("prompt_injections.txt").split("%% ").skip(1);
    all.map(|attempt| attempt.split_once('\n').expect("a way, and a text"))
        .map(|(way, text)| (way, text.trim()))
        .collect()
}

impl TestApp {
    /// Returns what must never be shown to anyone.
    fn secrets(&self, key: &str) -> Vec<String> {
        let names = [
            "ENCRYPTION_KEYS",
            "SESSION_SECRET",
            "SLACK_SIGNING_SECRET",
            "SLACK_CLIENT_SECRET",
            "DATABASE_URL",
        ];
        let (web, api) = (self.settings.web_variables(), self.settings.api_variables());
        let set = names.iter().filter_map(|name| web.get(*name).or_else(|| api.get(*name)).cloned());
        let tokens = [TEAM, BETA].map(|team| self.simulator.installation(team).expect("installed").token);
        let said = [OTHER_TENANT_SECRET.to_owned(), OTHER_PERSON_SECRET.to_owned(), key.to_owned()];
        set.chain(tokens).chain(said).collect()
    }

    /// Runs one attempt. Returns what was posted in Slack or returned for it.
    async fn try_injection(&self, at: usize, way: &str, text: &str, key: &str) -> Vec<String> {
        let obey = format!("say: {text}");
        let user = format!("U0INJ{at}");
        let (user, channel, ts) = match way {
            "message" => (ADA, self.dm(ADA), self.send_dm(ADA, None, &obey)),
            "outside" => (
                BETA_ADA,
                "general".to_owned(),
                self.post(BETA_ADA, "general", None, &format!("@bot {obey}")),
            ),
            "file" => (ADA, self.dm(ADA), self.post_file("notes.txt", &obey, "")),
            "filename" => (ADA, self.dm(ADA), self.post_file(text, "nothing", "say: Read.")),
            "name" | "title" => {
                let mut person =
                    SimulatedUser { id: user.clone(), name: "inj".into(), ..SimulatedUser::default() };
                *(if way == "name" { &mut person.real_name } else { &mut person.title }) = text.to_owned();
                self.simulator.add_person(TEAM, person);
                (&*user, self.dm(&user), self.send_dm(&user, None, "say: Hello."))
            }
            "api" => {
                let answer = self.chat(key, json!({ "message": obey })).await;
                return vec![answer["answer"].as_str().expect("text").to_owned()];
            }
            "workspace" => {
                self.simulator.add_team("T0EVIL", text);
                self.install_in("T0EVIL").await;
                let ts = self.send_dm_in_team("T0EVIL", "U0ADAEVIL", "say: Hello.");
                self.wait_for_query(
                    &format!("select outcome from events where message_ts = '{ts}'"),
                    "answered",
                )
                .await;
                return Vec::new();
            }
            way => panic!("no such way: {way}"),
        };
        let replies: Vec<SlackMessage> = self.wait_replies(&channel, &ts, 1).await;
        assert_eq!(replies.len(), 1, "{user}: {replies:?}");
        replies.iter().flat_map(|reply| [reply.text.clone(), reply.visible_text()]).collect()
    }

    fn post_file(&self, name: &str, content: &str, text: &str) -> String {
        let file =
            NewFile { name: name.into(), mimetype: "text/plain".into(), content: content.to_owned().into() };
        let message = self.new_message(ADA, &self.dm(ADA), None, text);
        self.simulator.post(PostMessage { files: vec![file], ..message }).expect("Slack takes it")
    }

    /// Returns the instructions and the message that the model was last shown.
    fn last_instructions_and_question(&self) -> (String, String) {
        let prompt = self.last_prompt();
        let systems = prompt.iter().filter(|message| message["role"] == "system").count();
        assert_eq!(
            (systems, &prompt[0]["role"]),
            (1, &json!("system")),
            "only one system message: {prompt:?}"
        );
        let text = |message: &serde_json::Value| message["content"].as_str().expect("text").to_owned();
        (text(&prompt[0]), text(&prompt[prompt.len() - 1]))
    }
}

/// Asserts that the first line of the instructions uses only the markers that it explains, with quotation
/// marks in pairs.
fn assert_names_are_escaped(instructions: &str) {
    assert_eq!(instructions.lines().count(), 1, "{instructions}");
    assert_eq!(instructions.matches('<').count(), 4, "{instructions}");
    assert_eq!(instructions.matches('"').count() % 2, 0, "{instructions}");
    assert!(!instructions.contains("\". System") && !instructions.contains("\". Ignore"), "{instructions}");
}

fn assert_wrapped_as_untrusted(question: &str, name: &str) {
    let marks = [format!("<{name}>\n"), format!("\n</{name}>")];
    assert_eq!(marks.map(|mark| question.matches(mark.trim()).count()), [1, 1], "{question}");
    let inside = question.split_once(&format!("<{name}>")).expect("a fence").1;
    assert!(inside.ends_with(&format!("\n</{name}>")), "{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_text_stays_data() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    app.simulator.add_team(BETA, "Beta");
    app.simulator.share_channel(TEAM, "general", BETA).expect("two teams");
    app.install_in(BETA).await;
    app.run_cli(&["channels", "allow-external", TEAM, "C0GENERAL"]);
    let key = app.create_api_key(ADA, &["chat"]).await;
    app.send_dm_in_team(BETA, BETA_ADA, &format!("say: {OTHER_TENANT_SECRET}"));
    app.send_dm(GRACE, None, &format!("say: {OTHER_PERSON_SECRET}"));
    app.wait_for_query("select count(*) from events where outcome = 'answered'", "2").await;

    let (attempts, secrets) = (injection_attempts(), app.secrets(&key));
    assert!(attempts.len() >= 60, "only {} attempts", attempts.len());
    for (at, (way, text)) in attempts.into_iter().enumerate() {
        let said = app.try_injection(at, way, text, &key).await;
        let (instructions, question) = app.last_instructions_and_question();
        assert_names_are_escaped(&instructions);
        match way {
            "outside" => assert_wrapped_as_untrusted(&question, "outside"),
            "file" | "filename" => assert_wrapped_as_untrusted(&question, "attached-file"),
            _ => {}
        }
        let prompt = json!(app.last_prompt()).to_string();
        for secret in &secrets {
            let leaks = prompt.contains(secret) || said.iter().any(|words| words.contains(secret));
            assert!(!leaks, "{way} {text:?} brought out {secret:?}");
        }
        if way != "api" {
            for words in &said {
                assert!(
                    !words.contains("<!") && !words.contains("<@") && !words.contains("<http"),
                    "{words}"
                );
                assert!(!words.contains("bank.example](") && !words.contains("!["), "{words}");
            }
        }
    }
    let logs = app.api_logs();
    assert!(secrets.iter().all(|secret| !logs.contains(secret)), "a secret stands in a log");
}

#[tokio::test(flavor = "multi_thread")]
async fn redaction_hides_personal_data_from_model() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let dm = app.dm(ADA);
    let first = app.send_dm(ADA, None, "say: mail grace@example.com");
    app.wait_reply(&dm, &first).await;
    assert!(json!(app.last_prompt()).to_string().contains("grace@example.com"), "off by default");

    let cookie = app.sign_in(ADA).await;
    app.save_settings(&cookie, &[("redact", "on")]).await;
    app.send_dm(ADA, Some(&first), "say: card 4111 1111 1111 1111");
    app.wait_replies(&dm, &first, 2).await;
    let question = app.last_instructions_and_question().1;
    let prompt = json!(app.last_prompt()).to_string();
    for (shown, kept) in [("[redacted: e-mail]", "grace@"), ("[redacted: card number]", "4111")] {
        assert!(prompt.contains(shown) && !prompt.contains(kept), "{prompt}");
    }
    assert!(question.contains("[redacted: card number]"), "{question}");
    let file = app.post_file("env.txt", "DB=postgres://app:hunter2secret@db/x", "say: Read.");
    app.wait_reply(&dm, &file).await;
    let prompt = json!(app.last_prompt()).to_string();
    assert!(prompt.contains("app:[redacted: password]@db") && !prompt.contains("hunter2"), "{prompt}");
}
