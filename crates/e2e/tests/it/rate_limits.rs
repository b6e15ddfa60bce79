//! `RATE_LIMIT_*` across replicas, with and without a shared Redis.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use xtask::child_process::{self, Signal};
use xtask::cluster::free_port;
use xtask::redis::Redis;

use crate::fixtures::TestDatabase;
use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

/// Twelve at once, then one every five minutes.
const TENANT_RATE_LIMIT: [(&str, &str); 1] = [("RATE_LIMIT_PER_TENANT", "12/hour")];

impl TestApp {
    pub(crate) async fn start_with_redis(redis: &Redis, extra_variables: &[(&str, &str)]) -> Self {
        let url = redis.url();
        let with_redis = |settings: &mut xtask::settings::StackSettings| settings.redis_url = Some(url);
        let unlimited = |settings: &mut simulator::SimulatorSettings| settings.has_rate_limits = false;
        let app =
            Self::start_on_database(TestDatabase::create(), with_redis, unlimited, extra_variables).await;
        app.install().await;
        app.simulator.set_model_options("ttft=0&gap=0");
        app
    }

    /// Returns how many of these messages have a reply.
    fn count_answered(&self, user: &str, said: &[String]) -> usize {
        let dm = self.dm(user);
        said.iter().filter(|ts| !self.bot_messages(&dm, ts).is_empty()).count()
    }

    async fn readiness_checks(&self, url: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{url}/health/ready")).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON")["checks"].take())
    }

    /// Waits until `api` has logged this text.
    pub(crate) async fn wait_for_log(&self, words: &str) {
        let begun = Instant::now();
        while !self.api_logs().contains(words) {
            assert!(begun.elapsed() < TEST_TIMEOUT, "never logged: {words}\n{}", self.api_logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn excess_events_are_deferred_across_replicas() {
    let redis = Redis::start().expect("Redis starts");
    let mut app = TestApp::start_with_redis(&redis, &TENANT_RATE_LIMIT).await;
    app.add_api(free_port().expect("a port"), &TENANT_RATE_LIMIT);
    app.balance_events();
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    let said: Vec<String> =
        (0..14).map(|number| app.send_dm_in_team(TEAM, GRACE, &format!("say: Answer {number}."))).collect();
    app.wait_for_query("select count(*) from events where kind = 'message' and outcome = 'answered'", "12")
        .await;
    app.wait_for_query(
        "select count(*) from events where outcome is null and rate_limited_until > now()",
        "2",
    )
    .await;
    assert_eq!(app.count_answered(GRACE, &said), 12, "two replicas count together");
    let minutes =
        "select string_agg(round(extract(epoch from rate_limited_until - received_at) / 60)::text, ' '
                   order by rate_limited_until) from events where rate_limited_until is not null";
    assert_eq!(app.database.query(minutes), "5 10", "each has a turn of its own");

    let other = app.send_dm_in_team(BETA, BETA_ADA, "say: Of another workspace.");
    app.wait_for_query(&format!("select outcome from events where message_ts = '{other}'"), "answered").await;
    let told = app.simulator.ephemerals(TEAM, &app.dm(GRACE));
    assert_eq!(told.len(), 1, "once a minute: {told:?}");
    assert!(told[0].1.text.contains("I'll get to yours in about"), "{told:?}");
    let failed = app.database.query("select count(*) from events where attempts_log <> '[]' or attempts > 1");
    assert_eq!(failed, "0", "waiting is no failed try");
    app.discard_backlog();
}

/// Records when each script begins to run from now on, in microseconds of Redis' clock.
async fn watch_script_times(redis: &Redis) -> Arc<Mutex<Vec<u64>>> {
    let stream = TcpStream::connect(("127.0.0.1", redis.port())).await.expect("a connection");
    let mut lines = BufReader::new(stream);
    lines.write_all(b"MONITOR\r\n").await.expect("it is sent");
    let mut line = String::new();
    lines.read_line(&mut line).await.expect("an answer");
    assert_eq!(line, "+OK\r\n");
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    tokio::spawn(async move {
        let mut lines = lines.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("lua] \"TIME\"") {
                let time = line.trim_start_matches('+').split(' ').next().expect("a time").replace('.', "");
                seen.lock().expect("no panic").push(time.parse().expect("a number"));
            }
        }
    });
    times
}

/// The limit is 100 at once, then one every 0.6 seconds: of 150 concurrent calls 100 pass, plus one for each
/// 0.6 seconds that a slow machine takes. Redis' clock tells when each call came, so the expected number is
/// exact.
#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_is_shared_by_replicas() {
    const TENANT_LIMIT_PER_MINUTE: [(&str, &str); 1] = [("RATE_LIMIT_PER_TENANT", "100/minute")];
    const RATE_LIMIT_INTERVAL_MICROS: u64 = 600_000;
    let redis = Redis::start().expect("Redis starts");
    let mut app = TestApp::start_with_redis(&redis, &TENANT_LIMIT_PER_MINUTE).await;
    for _ in 0..2 {
        app.add_api(free_port().expect("a port"), &TENANT_LIMIT_PER_MINUTE);
    }
    let key = app.create_api_key(ADA, &["chat"]).await;
    let times = watch_script_times(&redis).await;
    let mut asked = JoinSet::new();
    for number in 0..150 {
        let url = format!("{}/api/chat", app.apis[number % 3].url());
        let question = json!({ "message": format!("say: {number}") });
        asked.spawn(app.http.post(url).bearer_auth(&key).json(&question).send());
    }
    let (mut passed, mut refused) = (0, 0);
    for answer in asked.join_all().await {
        let answer = answer.expect("api answers");
        match answer.status().as_u16() {
            200 => passed += 1,
            429 => {
                let seconds = answer.headers()["retry-after"].to_str().expect("text").parse::<u64>();
                assert!(matches!(seconds, Ok(1)), "the next one is free within 0.6 seconds: {seconds:?}");
                refused += 1;
            }
            status => panic!("{status}\n{}", app.api_logs()),
        }
    }
    assert_eq!(passed + refused, 150);
    let times = times.lock().expect("no panic").clone();
    assert_eq!(times.len(), 150, "Redis was asked for each\n{}", app.api_logs());
    let (mut free_at, mut expected) = (times[0], 0);
    for time in &times {
        // The first hundred, and those whose slot has become free since.
        if free_at <= time + 99 * RATE_LIMIT_INTERVAL_MICROS {
            expected += 1;
            free_at += RATE_LIMIT_INTERVAL_MICROS;
        }
    }
    let took = times[149] - times[0];
    assert_eq!(passed, expected, "over {took} µs");
    assert!((100..=100 + took / RATE_LIMIT_INTERVAL_MICROS).contains(&passed), "{passed} over {took} µs");
    assert_eq!(
        app.database.query("select count(*) from usage where outcome = 'answered'"),
        passed.to_string()
    );
    eprintln!("{passed} of 150 passed; the calls came over {} ms", took / 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_api_calls_do_not_consume_limit() {
    let redis = Redis::start().expect("Redis starts");
    let mut app = TestApp::start_with_redis(&redis, &TENANT_RATE_LIMIT).await;
    let key = app.create_api_key(ADA, &["chat"]).await;
    for number in 0..12 {
        let answer = app.chat(&key, json!({ "message": format!("say: {number}") })).await;
        assert_eq!(answer["answer"], number.to_string());
    }
    for _ in 0..5 {
        assert_eq!(app.chat_problem(&key, json!({ "message": "say: One more." })).await.0, 429);
    }
    app.send_dm(GRACE, None, "say: I wait.");
    app.wait_for_query("select count(*) from events where rate_limited_until > now()", "1").await;
    let minutes = "select round(extract(epoch from rate_limited_until - received_at) / 60) from events where rate_limited_until is not null";
    assert_eq!(app.database.query(minutes), "5", "hers is the next turn");
    let put_off = app.metric_value("enablebot_rate_limited_total{limit=\"tenant\"}").await;
    assert!(put_off >= 2.0, "both are counted: {put_off}");
    app.discard_backlog();
}

#[tokio::test(flavor = "multi_thread")]
async fn global_rate_limit_defers() {
    let redis = Redis::start().expect("Redis starts");
    let app = TestApp::start_with_redis(&redis, &[("RATE_LIMIT_GLOBAL", "2/second")]).await;
    let said: Vec<(String, String)> = (0..6)
        .map(|number| {
            (app.send_dm(ADA, None, &format!("say: Answer {number}.")), format!("Answer {number}."))
        })
        .collect();
    app.assert_all_answered(&said).await;
    assert_ne!(app.database.query("select count(*) from events where rate_limited_until is not null"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_outage_is_survived() {
    let mut redis = Redis::start().expect("Redis starts");
    let app = TestApp::start_with_redis(&redis, &TENANT_RATE_LIMIT).await;
    let (api, dm) = (app.apis[0].url(), app.dm(ADA));
    for url in [&api, &app.web.url()] {
        assert_eq!(app.readiness_checks(url).await.1["redis"], "ok");
    }

    redis.kill().expect("it dies");
    let asked = Instant::now();
    let ts = app.send_dm(ADA, None, "say: Without Redis.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "Without Redis.");
    assert!(asked.elapsed() < Duration::from_secs(3), "after {:?}", asked.elapsed());
    app.wait_for_log("redis lost: rate limits and cache are per process").await;
    for url in [&api, &app.web.url()] {
        let (status, checks) = app.readiness_checks(url).await;
        assert_eq!(status, 200, "it works without: {checks}");
        assert_ne!(checks["redis"], "ok");
    }
    redis.relaunch().expect("it comes back");
    app.wait_for_log("redis is back: rate limits and cache are shared again").await;
    assert_eq!(app.readiness_checks(&api).await.1["redis"], "ok");

    child_process::send_signal(redis.pid(), Signal::STOP);
    let asked = Instant::now();
    let ts = app.send_dm(ADA, None, "say: While it hangs.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "While it hangs.");
    assert!(asked.elapsed() < Duration::from_secs(3), "after {:?}", asked.elapsed());
    let (status, checks) = app.readiness_checks(&api).await;
    assert_eq!((status, checks["redis"] == "ok"), (200, false), "{checks}");
    child_process::send_signal(redis.pid(), Signal::CONT);
    app.wait_for_log("did not answer within").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_limits_are_per_process() {
    let mut app = TestApp::start_with(|settings| settings.has_rate_limits = false, &TENANT_RATE_LIMIT).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    app.wait_for_log("REDIS_URL is not set: rate limits and cache are per process").await;
    let said: Vec<String> = (0..13).map(|number| app.send_dm(ADA, None, &format!("say: {number}"))).collect();
    app.wait_for_query("select count(*) from events where kind = 'message' and outcome = 'answered'", "12")
        .await;
    app.wait_for_query(
        "select count(*) from events where outcome is null and rate_limited_until > now()",
        "1",
    )
    .await;
    assert_eq!(app.count_answered(ADA, &said), 12);
    app.discard_backlog();
}
