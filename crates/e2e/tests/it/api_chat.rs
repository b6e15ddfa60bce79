//! `POST /api/chat`: responses to API keys, and the limits of a key.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

/// Starts an app with a fast model, and creates a key with all scopes.
async fn app_with_api_key() -> (TestApp, String) {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat", "people"]).await;
    (app, key)
}

impl TestApp {
    /// Creates a key with the dashboard's form. Returns the key, which the page shows only once.
    pub(crate) async fn create_api_key(&self, user: &str, boxes: &[&str]) -> String {
        let cookie = self.sign_in(user).await;
        let ticked: String = boxes.iter().map(|name| format!("&{name}=on")).collect();
        let (status, page) =
            self.post_fields("/dashboard/api-keys", &cookie, &format!("name=A+program{ticked}")).await;
        assert_eq!(status, 201, "{page}");
        let shown = page.split_once("data-testid=\"secret\">").expect("the key").1;
        shown.split('<').next().expect("its end").to_owned()
    }

    pub(crate) async fn post_fields(&self, path: &str, cookie: &str, fields: &str) -> (u16, String) {
        let request = self.http.post(format!("{}{path}", self.web.url())).header("cookie", cookie);
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(fields.to_owned()).send().await.expect("web answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    pub(crate) async fn post_chat(&self, key: &str, question: Value) -> Response {
        let request = self.http.post(format!("{}/api/chat", self.apis[0].url())).bearer_auth(key);
        request.json(&question).send().await.expect("api answers")
    }

    pub(crate) async fn chat(&self, key: &str, question: Value) -> Value {
        let answer = self.post_chat(key, question).await;
        assert_eq!(answer.status(), 200, "{}", self.api_logs());
        answer.json().await.expect("JSON")
    }

    /// Sends a question that is refused, and returns the problem document.
    pub(crate) async fn chat_problem(&self, key: &str, question: Value) -> (u16, String) {
        read_problem(self.post_chat(key, question).await).await
    }
}

async fn read_problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{status}");
    let problem: Value = answer.json().await.expect("JSON");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["type"].as_str().expect("a type").starts_with("/dashboard/api#"), "{problem}");
    (status, problem["detail"].as_str().expect("a detail").to_owned())
}

/// Parses the events of a stream: name and data.
fn parse_sse(stream: &str) -> Vec<(String, Value)> {
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        (field("event: ").to_owned(), serde_json::from_str(field("data: ")).expect("JSON"))
    };
    stream.split("\n\n").filter(|block| block.contains("event: ")).map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_is_private_and_usage_recorded() {
    let (app, key) = app_with_api_key().await;
    let first = app.chat(&key, json!({ "message": "say: Blue.", "user_id": GRACE })).await;
    assert_eq!((first["answer"].as_str(), first["complete"].as_bool()), (Some("Blue."), Some(true)));
    let id = &first["conversation_id"];
    assert!(id.as_str().expect("an id").starts_with("c_"), "{first}");
    let instructions = app.last_prompt()[0]["content"].as_str().expect("text").to_owned();
    let name = app.database.query("select name is not null from people where user_id = 'U0GRACE'");
    assert!(instructions.contains("You are asked by \"Grace") && name == "t", "{instructions}");

    let go_on = json!({ "message": "say: Still blue.", "user_id": GRACE, "conversation_id": id });
    let second = app.chat(&key, go_on.clone()).await;
    assert_eq!(second["conversation_id"], *id);
    let prompt: Vec<String> = app.last_prompt()[1..]
        .iter()
        .map(|said| said["content"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(prompt, ["say: Blue.", "Blue.", "say: Still blue."]);
    let booked = app.database.query(
        "select user_id, model, sum(prompt_tokens), sum(completion_tokens), count(*) from usage group by 1, 2",
    );
    let tokens = |name: &str| [&first, &second].map(|one| one["usage"][name].as_i64().expect("a number"));
    let sum = |name| tokens(name).iter().sum::<i64>();
    let expected = format!("{GRACE}|offline|{}|{}|2", sum("prompt_tokens"), sum("completion_tokens"));
    assert_eq!(booked, expected);
    let told =
        "select count(*) from usage where source = 'api' and channel_id = 'api' and outcome = 'answered'
        and total_ms >= first_token_ms and thread_ts like 'c\\_%'";
    assert_eq!(app.database.query(told), "2");
    let audited = "select count(*) from audit_log where action = 'answered' and actor = 'key:' ||
        (select key_id from api_keys) and detail ->> 'for' = 'U0GRACE' and detail ->> 'broke_off' = 'false'";
    assert_eq!(app.database.query(audited), "2");
    let kept = app
        .database
        .query("select string_agg(encode(text, 'escape'), '') from chat_memory where channel_id = 'api'");
    assert!(!kept.contains("Blue"), "it is sealed");
    assert!(!app.api_logs().contains("Blue") && !app.api_logs().contains(&key));

    // Only the same subject of the same workspace can continue: another person, no user, or another
    // workspace's key cannot.
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    let foreign = app.create_api_key(BETA_ADA, &["chat", "people"]).await;
    let foreign = foreign.as_str();
    assert_eq!(app.chat(foreign, json!({ "message": "say: Hello." })).await["answer"], "Hello.");
    for (key, user) in [(&*key, Some(ADA)), (&key, None), (foreign, Some(GRACE)), (foreign, None)] {
        let question = json!({ "message": "say: Me too.", "user_id": user, "conversation_id": id });
        // Grace is not a member of that workspace.
        let expected = if key == foreign && user.is_some() { 403 } else { 404 };
        assert_eq!(app.chat_problem(key, question).await.0, expected, "{user:?}");
    }
    for unknown in ["c_0199a5b2c3d47e6f8091a2b3c4d5e6f7", "1732500000.000100", "\0"] {
        let question = json!({ "message": "say: Hi.", "conversation_id": unknown });
        assert_eq!(app.chat_problem(&key, question).await.0, 404, "{unknown}");
    }
    assert_eq!(app.chat(&key, go_on).await["answer"], "Still blue.", "she still does");
    app.database.query("delete from installations where tenant_id = 'T0BETA'");
    let (status, told) = app.chat_problem(foreign, json!({ "message": "say: Hello?" })).await;
    assert_eq!((status, told.contains("not installed")), (403, true), "{told}");
    assert_eq!(app.database.query("select count(*) from chat_leases"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_streams_deltas_and_final_status() {
    let (app, key) = app_with_api_key().await;
    let question = json!({ "message": "say: one two three", "stream": true });
    let answer = app.post_chat(&key, question).await;
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().expect("a value"))
    );
    let all = parse_sse(&answer.text().await.expect("text"));
    let (last, words) = all.split_last().expect("events");
    let text: String = words.iter().map(|(_, data)| data["text"].as_str().expect("text")).collect();
    assert!(words.len() > 1 && words.iter().all(|(name, _)| name == "delta"), "{all:?}");
    assert_eq!((text.as_str(), last.0.as_str()), ("one two three", "done"));
    assert!(last.1.get("answer").is_none() && last.1["usage"]["completion_tokens"] == 3, "{last:?}");
    let id = &last.1["conversation_id"];
    let go_on = app.chat(&key, json!({ "message": "what did I say?", "conversation_id": id })).await;
    assert!(go_on["answer"].as_str().expect("text").contains("one two three"), "{go_on}");

    // A model failure before the first word sets the status; after it, an event reports it. The partial reply
    // is not remembered.
    app.simulator.set_model_options("ttft=0&gap=0&cut=2");
    let broken = json!({ "message": "say: four five six seven", "stream": true, "conversation_id": id });
    let all = parse_sse(&app.post_chat(&key, broken).await.text().await.expect("text"));
    let (last, words) = all.split_last().expect("events");
    assert_eq!((words.len(), last.0.as_str(), &last.1["status"]), (2, "error", &json!(502)), "{all:?}");
    for (behaviour, status) in [("fail=400", 502), ("fail=401", 502), ("fail=500", 502), ("fail=429", 503)] {
        app.simulator.set_model_options(behaviour);
        let told = app.chat_problem(&key, json!({ "message": "say: Hi.", "stream": true })).await;
        assert_eq!(told.0, status, "{behaviour}: {told:?}");
    }
    // The server asked for a pause of one second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let go_on = json!({ "message": "say: Again.", "conversation_id": id });
    assert_eq!(app.chat(&key, go_on).await["answer"], "Again.");
    assert!(!json!(app.last_prompt()).to_string().contains("four"), "{:?}", app.last_prompt());
    let estimated = "select prompt_tokens > 0 and completion_tokens > 0 from usage join audit_log a
         on detail ->> 'broke_off' = 'true' where a.created_at = usage.created_at";
    assert_eq!(app.database.query(estimated), "t", "and paid all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthorized_chat_is_rejected_with_reason() {
    let (app, key) = app_with_api_key().await;
    let hi = json!({ "message": "say: Hi." });
    let url = format!("{}/api/chat", app.apis[0].url());
    let anonymous = app.http.post(&url).json(&hi).send().await.expect("an answer");
    assert_eq!(anonymous.headers()["www-authenticate"], "Bearer realm=\"EnableBot\"");
    assert_eq!(read_problem(anonymous).await.0, 401);
    assert_eq!(app.chat_problem("eb_0000000000000000000000000000000000000000000", hi.clone()).await.0, 401);
    assert_eq!(app.chat_problem("xoxb-1", hi.clone()).await.0, 401);

    let only_chat = app.create_api_key(ADA, &["chat"]).await;
    let (status, told) = app.chat_problem(&only_chat, json!({ "message": "say: Hi.", "user_id": ADA })).await;
    assert_eq!((status, told.contains("chat:people")), (403, true), "{told}");
    assert_eq!(app.chat(&only_chat, hi.clone()).await["answer"], "Hi.");
    let only_people = app.create_api_key(ADA, &["people"]).await;
    assert_eq!(app.chat_problem(&only_people, hi.clone()).await.0, 403);

    let long = "x".repeat(64 * 1024 + 1);
    for (question, status, part) in [
        (json!({ "message": " " }), 400, "is empty"),
        (json!({ "message": long }), 400, "64 KiB"),
        (json!({ "text": "Hi" }), 400, "unknown field `text`"),
        (json!({ "message": "Hi", "user_id": "U0NOBODY" }), 400, "unknown"),
        (json!({ "message": "Hi", "user_id": "not an id" }), 400, "unknown"),
        (json!({ "message": "x".repeat(600_000) }), 413, "512 KiB"),
    ] {
        let told = app.chat_problem(&key, question).await;
        assert!(told.0 == status && told.1.contains(part), "{told:?}");
    }
    let form = app.http.post(&url).bearer_auth(&key).body("message=Hi").send().await.expect("an answer");
    assert_eq!(read_problem(form).await.0, 415);

    let uninstalled = "update installations set disabled_reason = 'token_revoked', disabled_at = now()";
    app.database.query(uninstalled);
    let (status, told) = app.chat_problem(&key, hi.clone()).await;
    assert_eq!((status, told.contains("token_revoked")), (403, true), "{told}");
    app.database.query("update installations set disabled_reason = null, disabled_at = null");
    app.run_cli(&["tenants", "suspend", TEAM, "unpaid"]);
    let (status, told) = app.chat_problem(&key, hi.clone()).await;
    assert_eq!((status, told.contains("unpaid")), (403, true), "{told}");
    app.run_cli(&["tenants", "resume", TEAM]);
    let asked = app.simulator.model_requests().len();
    assert_eq!(asked, 1, "the model was asked for the one answer only");
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from api_keys", "0").await;
    assert_eq!(app.chat_problem(&key, hi).await.0, 401, "its keys went with it");
    let receipt =
        "select detail -> 'receipt' -> 'rows' ->> 'api_keys' from audit_log where action = 'deleted'";
    assert_eq!(app.database.query(receipt), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_limits_concurrency_and_rate() {
    let app = TestApp::start_with(|_| {}, &[("RATE_LIMIT_PER_TENANT", "5/hour"), ("TIMEOUT", "2")]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat"]).await;
    let first = app.chat(&key, json!({ "message": "say: One." })).await;
    let id = &first["conversation_id"];
    app.simulator.set_model_options("ttft=0&gap=1000");
    let slow = app
        .post_chat(&key, json!({ "message": "say: a b c d e f", "conversation_id": id, "stream": true }))
        .await;
    let go_on = json!({ "message": "say: Me too.", "conversation_id": id });
    assert_eq!(app.chat_problem(&key, go_on.clone()).await.0, 409);
    // A client that disconnects stops the reply: the conversation is free and the cost is recorded.
    drop(slow);
    app.wait_for_query("select count(*) from audit_log where detail ->> 'broke_off' = 'true'", "1").await;
    app.wait_for_query("select count(*) from chat_leases", "0").await;
    let whole = app.post_chat(&key, json!({ "message": "say: a b c d e f", "conversation_id": id }));
    assert!(tokio::time::timeout(Duration::from_secs(3), whole).await.is_err(), "it takes longer");
    app.wait_for_query("select count(*) from audit_log where detail ->> 'broke_off' = 'true'", "2").await;
    app.wait_for_query("select count(*) from chat_leases", "0").await;
    assert_eq!(app.database.query("select count(*) from usage where prompt_tokens > 0"), "3");
    app.simulator.set_model_options("ttft=0&gap=0&stall=0");
    assert_eq!(app.chat_problem(&key, go_on.clone()).await.0, 504, "it stays silent");
    app.simulator.set_model_options("ttft=0&gap=0");
    assert_eq!(app.chat(&key, go_on.clone()).await["answer"], "Me too.");

    let asked = app.simulator.model_requests().len();
    for _ in 0..5 {
        let over = app.post_chat(&key, go_on.clone()).await;
        let pause: u64 = over.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((620..=720).contains(&pause), "it does not grow by asking: {pause}");
        assert_eq!(read_problem(over).await.0, 429);
    }
    assert_eq!(app.simulator.model_requests().len(), asked, "nothing was done");
    assert_eq!(app.database.query("select count(*) from chat_leases"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_or_fails_open_chats() {
    let (mut app, key) = app_with_api_key().await;
    app.simulator.set_model_options("ttft=0&gap=500");
    let short = app.post_chat(&key, json!({ "message": "say: a b c d e f", "stream": true })).await;
    let words = (1..=60).map(|word| word.to_string()).collect::<Vec<_>>().join(" ");
    let long = app.post_chat(&key, json!({ "message": format!("say: {words}"), "stream": true })).await;
    app.apis[0].terminate();
    let (short, long) = tokio::join!(short.text(), long.text());
    assert_eq!(parse_sse(&short.expect("text")).pop().expect("an end").0, "done");
    let (name, told) = parse_sse(&long.expect("text")).pop().expect("an end");
    assert_eq!((name.as_str(), &told["status"]), ("error", &json!(503)), "{told}");
    assert!(app.apis[0].stop().expect("it ends").success());
    assert_eq!(app.database.query("select count(*) from usage where completion_tokens > 0"), "2");
    assert_eq!(app.database.query("select count(*) from chat_leases"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn workspace_settings_apply_to_api_chat() {
    let (app, key) = app_with_api_key().await;
    let admin = app.sign_in(ADA).await;
    let set = [("budget", "0.01"), ("budget_told", GRACE), ("instructions", "Our office is in Lisbon.")];
    app.save_settings(&admin, &set).await;
    app.chat(&key, json!({ "message": "say: Cheap." })).await;
    let prompt = app.last_prompt()[0]["content"].as_str().expect("text").to_owned();
    assert!(prompt.contains("What this workspace has set") && prompt.contains("Lisbon"), "{prompt}");
    assert_eq!(app.database.query("select cost_micros > 0 from usage"), "t");
    app.database.query("update usage set cost_micros = 8500");
    app.chat(&key, json!({ "message": "say: Near the end." })).await;
    app.wait_for_query("select count(*) from audit_log where action = 'budget_warned'", "1").await;
    let told = |world: &simulator::FakeSlack| {
        let told = world.calls().iter().any(|call| call.args.to_string().contains("More than 80 %"));
        told.then_some(())
    };
    app.simulator.wait_for(told, TEST_TIMEOUT).await.expect("Grace is notified");
    app.database.query("update usage set cost_micros = 5000");
    let over = app.post_chat(&key, json!({ "message": "say: Too much." })).await;
    assert!(over.headers().contains_key("retry-after"));
    let (status, told) = read_problem(over).await;
    assert_eq!((status, told.contains("Settings")), (429, true), "{told}");
    assert_eq!(app.simulator.model_requests().len(), 2);
}
