//! Cost budgets: replies never cost more than allowed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use xtask::cluster::free_port;

use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

const COUNT_RESERVATIONS_SQL: &str = "select count(*) from reservations";

/// Settings without rate limits, so that only the budget limits replies.
const NO_RATE_LIMIT: [(&str, &str); 2] =
    [("RATE_LIMIT_PER_TENANT", "100000/minute"), ("RATE_LIMIT_GLOBAL", "100000/minute")];

impl TestApp {
    /// Starts an app with a fast model and a budget.
    async fn start_with_budget(extra_variables: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let app = Self::start_with(|simulated| simulated.has_rate_limits = false, extra_variables).await;
        app.install().await;
        app.simulator.set_model_options("ttft=0&gap=0");
        if !settings.is_empty() {
            let admin = app.sign_in(ADA).await;
            app.save_settings(&admin, settings).await;
        }
        app
    }

    fn last_model_request(&self) -> Value {
        self.simulator.model_requests().pop().expect("the model was asked")
    }

    async fn wait_streaming(&self, channel: &str, thread_ts: &str) {
        let begun = |world: &simulator::FakeSlack| {
            world.thread(TEAM, channel, thread_ts).iter().any(|message| message.is_streaming).then_some(())
        };
        self.simulator.wait_for(begun, TEST_TIMEOUT).await.expect("the answer begins");
    }

    fn query_number(&self, sql: &str) -> i64 {
        self.database.query(sql).parse().expect("a number")
    }
}

/// Two hundred concurrent calls: 100 messages and 100 API calls.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_never_exceed_budget() {
    const BUDGET_MICROS: i64 = 30_000;
    let mut app = TestApp::start_with_budget(&NO_RATE_LIMIT, &[("budget", "0.03")]).await;
    app.add_api(free_port().expect("a port"), &NO_RATE_LIMIT);
    app.balance_events();
    let key = app.create_api_key(ADA, &["chat", "people"]).await;
    app.simulator.set_model_options("ttft=0&gap=0&words=150");
    let said: Vec<String> =
        (0..100).map(|number| app.send_dm(ADA, None, &format!("say: {number}"))).collect();
    let mut asked = JoinSet::new();
    for number in 0..100 {
        let url = format!("{}/api/chat", app.apis[number % 2].url());
        let question = json!({ "message": format!("say: {number}"), "user_id": GRACE });
        asked.spawn(app.http.post(url).bearer_auth(&key).json(&question).send());
    }
    let most = async {
        let at_stake = "select (select coalesce(sum(cost_micros), 0) from usage)
                             + (select coalesce(sum(cost_micros), 0) from reservations)";
        let (begun, mut most) = (Instant::now(), 0);
        while app.count_pending() != "0" {
            most = most.max(app.query_number(at_stake));
            assert!(begun.elapsed() < 6 * TEST_TIMEOUT, "events still wait\n{}", app.api_logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        most
    };
    let (answers, most) = tokio::join!(asked.join_all(), most);
    assert!(
        most <= BUDGET_MICROS && most > BUDGET_MICROS / 2,
        "{most} of {BUDGET_MICROS} were spent or held"
    );

    let (mut answered, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer.expect("api answers");
        match answer.status().as_u16() {
            200 => answered += 1,
            429 => {
                assert!(answer.headers().contains_key("retry-after"));
                let detail = answer.json::<Value>().await.expect("JSON")["detail"].to_string();
                assert!(detail.contains("monthly budget") || detail.contains("is reserved for"), "{detail}");
                refused += 1;
            }
            status => panic!("{status}\n{}", app.api_logs()),
        }
    }
    assert_eq!(app.query_number("select count(*) from usage where source = 'api'"), answered);
    assert_eq!(answered + refused, 100);
    let spent = app.query_number("select sum(cost_micros) from usage");
    assert!(spent <= BUDGET_MICROS && spent > BUDGET_MICROS / 2, "{spent} of {BUDGET_MICROS}");
    let booked = "select string_agg(distinct concat_ws(': ', outcome, reason), ', ') from usage where source = 'slack'";
    assert_eq!(app.database.query(booked), "answered, refused: over budget");
    assert_eq!(app.query_number("select count(*) from usage where source = 'slack'"), 100);
    let dm = app.dm(ADA);
    let over = said
        .iter()
        .filter(|ts| app.bot_messages(&dm, ts)[0].visible_text().contains("has used its monthly budget"))
        .count();
    assert_eq!(app.query_number("select count(*) from usage where outcome = 'refused'"), over as i64);
    assert_eq!(app.database.query(COUNT_RESERVATIONS_SQL), "0");
    eprintln!(
        "{answered} programs and {} people had {spent} of {BUDGET_MICROS}, at most {most} at stake",
        100 - over
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_replica_reservations_are_settled_once() {
    let mut app = TestApp::start_with_budget(&[], &[("budget", "1")]).await;
    let key = app.create_api_key(ADA, &["chat"]).await;
    app.simulator.set_model_options("ttft=0&gap=400");
    let (dm, text) =
        (app.dm(ADA), "It is a long answer, so that there is time to die in the middle of it, and it ends.");
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    app.wait_streaming(&dm, &ts).await;
    let program = app.post_chat(&key, json!({ "message": format!("say: {text}"), "stream": true })).await;
    assert_eq!(
        app.database.query("select count(*), count(model), count(expires_at) from reservations"),
        "2|2|1"
    );
    let held = app.query_number("select sum(cost_micros) from reservations");
    assert!((32_000..40_000).contains(&held), "two answers at their worst: {held}");
    let least = app.query_number("select prompt_tokens from reservations where expires_at is null");
    let page = app.get_page("/dashboard", Some(&app.sign_in(ADA).await)).await.text().await.expect("text");
    assert!(page.contains(" reserved</span>"), "{page}");
    app.apis[0].kill().expect("it is killed");
    drop(program);
    assert_eq!(app.query_number("select sum(cost_micros) from reservations"), held, "nothing is lost");

    app.simulator.set_model_options("ttft=0&gap=0");
    // The program's request is never finished: it is charged when its reservation expires, as a new replica
    // finds at once.
    app.database.query(
        "update reservations set expires_at = now() - interval '1 second' where expires_at is not null",
    );
    app.add_api(free_port().expect("a port"), &[]);
    app.simulator.set_events_url(format!("{}/slack/events", app.apis[1].url()));
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    app.wait_for_query(COUNT_RESERVATIONS_SQL, "0").await;
    let booked = "select outcome, reason, model, prompt_tokens > 100 and cost_micros > 25 from usage where source = 'api'";
    assert_eq!(app.database.query(booked), "stopped|broke off|offline|t");
    let told = app
        .database
        .query("select prompt_tokens, cost_micros from replies where text is null and prompt_tokens > 0");
    let in_usage = app.database.query("select prompt_tokens, cost_micros from usage where source = 'slack'");
    assert_eq!(told, in_usage, "booked once");
    let prompt = app.query_number("select prompt_tokens from usage where source = 'slack'");
    assert!(least > 80 && prompt > least + 80, "both calls took the question: {least} and {prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_calls_are_charged() {
    let app = TestApp::start_with_budget(&[], &[]).await;
    let words = (1..=60).map(|number| format!("word{number:03}")).collect::<Vec<_>>().join(" ");
    for budget in ["", "1"] {
        if !budget.is_empty() {
            app.save_settings(&app.sign_in(ADA).await, &[("budget", budget)]).await;
        }
        app.database.query("truncate usage");
        app.simulator.set_model_options("ttft=0&gap=0&cut=40");
        let ts = app.send_dm(ADA, None, &format!("say: {words}"));
        app.wait_for_query(
            "select count(*) from replies where partial_text is not null and cost_micros > 0",
            "1",
        )
        .await;
        let held = "select count(*), coalesce(sum(r.cost_micros - p.cost_micros), 0) from reservations r join replies p using (seq)";
        let expected = if budget.is_empty() { "0|0" } else { "1|0" };
        assert_eq!(app.database.query(held), expected, "between two calls only what was spent is held");
        app.simulator.set_model_options("ttft=0&gap=0");
        assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, words);
        // Forty words of seven letters and a space are estimated at eighty tokens; the other twenty are the
        // model's count.
        let tokens = app.query_number("select completion_tokens from usage");
        assert!((98..=103).contains(&tokens), "{tokens}");
        let cost = "select cost_micros - ceil(prompt_tokens * 0.25 + completion_tokens * 2) from usage";
        assert!((0..=1).contains(&app.query_number(cost)), "each call is rounded up");
        let read = app.query_number("select prompt_tokens from usage");
        assert!(read > 350, "the question was read twice: {read}");
    }
    assert_eq!(app.database.query(COUNT_RESERVATIONS_SQL), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_length_is_capped_by_remaining_budget() {
    let app = TestApp::start_with_budget(&[], &[("budget", "0.01")]).await;
    let ts = app.send_dm(ADA, None, "say: Short.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Short.");
    let most = app.last_model_request()["max_tokens"].as_i64().expect("a limit");
    assert!((4_500..5_000).contains(&most), "all that is left: {most}");
    app.database.query("update usage set cost_micros = 8400");
    app.simulator.set_model_options("ttft=0&gap=0&words=3000");
    let ts = app.send_dm(ADA, None, "say: Long.");
    let answer = app.wait_reply(&app.dm(ADA), &ts).await;
    let most = app.last_model_request()["max_tokens"].as_i64().expect("a limit");
    assert!((512..800).contains(&most), "{most}");
    assert!(answer.contains("reached its length limit"), "{answer}");
    assert_eq!(app.query_number("select max(completion_tokens) from usage"), most);
    assert!(app.query_number("select sum(cost_micros) from usage") <= 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn near_budget_warns_once_and_uses_cheaper_model() {
    let own = [("OPENAI_FALLBACK_MODELS", "gpt-5-nano")];
    let budget = [("budget", "0.10"), ("cheaper_model", "gpt-5-nano"), ("budget_told", GRACE)];
    let app = TestApp::start_with_budget(&own, &budget).await;
    let admin = app.sign_in(ADA).await;
    let unknown = [("cheaper_model", "gpt-9"), ("follow_ups", "on"), ("feedback", "on")];
    let refused = app.send_form("/dashboard/settings/review", Some(&admin), &unknown).await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.expect("text");
    assert!(
        page.contains("gpt-9 is not available on this server") && page.contains("data-testid=\"spent\""),
        "{page}"
    );

    let ts = app.send_dm(ADA, None, "say: Usual.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    assert_eq!(app.last_model_request()["model"], "offline");
    app.database.query("update usage set cost_micros = 80000");
    for text in ["Cheaper.", "Cheaper still."] {
        let ts = app.send_dm(ADA, None, &format!("say: {text}"));
        assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, text);
        let request = app.last_model_request();
        assert_eq!(request["model"], "gpt-5-nano");
        assert!(
            request["max_completion_tokens"].is_i64() && request.get("max_tokens").is_none(),
            "{request}"
        );
    }
    let told: Vec<String> = app
        .slack_calls("chat.postMessage")
        .iter()
        .map(|call| call.args.to_string())
        .filter(|args| args.contains("More than 80 %"))
        .collect();
    assert!(told.len() == 1 && told[0].contains("From now on gpt-5-nano answers"), "{told:?}");
    assert_eq!(app.query_number("select count(*) from audit_log where action = 'budget_warned'"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_spending_triggers_budget_warning() {
    let app = TestApp::start_with_budget(&[], &[("budget", "0.10")]).await;
    let key = app.create_api_key(ADA, &["chat"]).await;
    app.chat(&key, json!({ "message": "say: One." })).await;
    app.database.query("update usage set cost_micros = 80000");
    for _ in 0..2 {
        app.chat(&key, json!({ "message": "say: Two." })).await;
    }
    app.wait_for_query("select count(*) from audit_log where action = 'budget_warned'", "1").await;
    let told = |world: &simulator::FakeSlack| {
        let mut posts = world.calls().iter().filter(|call| call.method == "chat.postMessage");
        posts.any(|call| call.args.to_string().contains("More than 80 %")).then_some(())
    };
    app.simulator.wait_for(told, TEST_TIMEOUT).await.expect("the manager is notified");
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_user_budget_blocks_only_that_user() {
    let app = TestApp::start_with_budget(&[], &[("person_daily", "0.01")]).await;
    let key = app.create_api_key(ADA, &["chat", "people"]).await;
    let ts = app.send_dm(ADA, None, "say: The last.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "The last.");
    app.database.query("update usage set cost_micros = 9999");
    let ts = app.send_dm(ADA, None, "say: One more.");
    let refusal = app.wait_reply(&app.dm(ADA), &ts).await;
    assert!(refusal.contains("reached today's limit"), "{refusal}");
    let outcome = format!("select outcome, reason from events where message_ts = '{ts}'");
    app.wait_for_query(&outcome, "refused|over the person's daily budget").await;
    let answer = app.post_chat(&key, json!({ "message": "say: Me.", "user_id": ADA })).await;
    let pause: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=86_400).contains(&pause), "{pause}");
    let (status, told) = app.chat_problem(&key, json!({ "message": "say: Me.", "user_id": ADA })).await;
    assert_eq!((status, told.contains("daily budget is used up")), (429, true), "{told}");

    let ts = app.send_dm(GRACE, None, "say: Another.");
    assert_eq!(app.wait_reply(&app.dm(GRACE), &ts).await, "Another.");
    assert_eq!(app.chat(&key, json!({ "message": "say: Nobody." })).await["answer"], "Nobody.");
    app.database.query("update usage set created_at = created_at - interval '1 day'");
    let ts = app.send_dm(ADA, None, "say: A new day.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "A new day.");
    assert_eq!(app.database.query(COUNT_RESERVATIONS_SQL), "0");
}
