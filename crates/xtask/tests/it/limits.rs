//! `RATE_LIMIT_*`, across replicas and without the Redis that they share.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use xtask::cluster::free_port;
use xtask::launch::{self, Signal};
use xtask::redis::Redis;

use crate::ground::Database;
use crate::queue::BETA;
use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

/// Twelve at once, then one each five minutes.
const LIMIT: [(&str, &str); 1] = [("RATE_LIMIT_PER_TENANT", "12/hour")];

impl TestApp {
    pub(crate) async fn with_redis(redis: &Redis, own: &[(&str, &str)]) -> Self {
        let url = redis.url();
        let with_redis = |settings: &mut xtask::settings::Settings| settings.redis_url = Some(url);
        let unlimited = |settings: &mut simulator::Settings| settings.rate_limits = false;
        let app = Self::start_on(Database::create(), with_redis, unlimited, own).await;
        app.install().await;
        app.simulator.set_model_behaviour("ttft=0&gap=0");
        app
    }

    /// How many of these messages are answered.
    fn answered(&self, user: &str, said: &[String]) -> usize {
        let dm = self.dm(user);
        said.iter().filter(|ts| !self.bots(&dm, ts).is_empty()).count()
    }

    async fn checks(&self, url: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{url}/health/ready")).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON")["checks"].take())
    }

    /// Waits until `api` has logged this.
    pub(crate) async fn logs_say(&self, words: &str) {
        let begun = Instant::now();
        while !self.logs().contains(words) {
            assert!(begun.elapsed() < PATIENCE, "never logged: {words}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_limit_and_what_is_above_it_waits_for_its_turn() {
    let redis = Redis::start().expect("Redis starts");
    let mut app = TestApp::with_redis(&redis, &LIMIT).await;
    app.add_api(free_port().expect("a port"), &LIMIT);
    app.balance();
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    let said: Vec<String> =
        (0..14).map(|number| app.say_in(TEAM, GRACE, &format!("say: Answer {number}."))).collect();
    app.becomes("select count(*) from events where kind = 'message' and outcome = 'answered'", "12").await;
    app.becomes("select count(*) from events where outcome is null and turn_at > now()", "2").await;
    assert_eq!(app.answered(GRACE, &said), 12, "two replicas count together");
    let minutes = "select string_agg(round(extract(epoch from turn_at - received_at) / 60)::text, ' '
                   order by turn_at) from events where turn_at is not null";
    assert_eq!(app.database.ask(minutes), "5 10", "each has a turn of its own");

    let other = app.say_in(BETA, "U0ADABETA", "say: Of another workspace.");
    app.becomes(&format!("select outcome from events where message_ts = '{other}'"), "answered").await;
    let told = app.simulator.ephemerals(TEAM, &app.dm(GRACE));
    assert_eq!(told.len(), 1, "once a minute: {told:?}");
    assert!(told[0].1.text.contains("its turn comes in about"), "{told:?}");
    let failed = app.database.ask("select count(*) from events where attempts_log <> '[]' or attempts > 1");
    assert_eq!(failed, "0", "waiting is no failed try");
    app.drop_backlog();
}

/// When each script began to run from now on, in microseconds of Redis' own clock.
async fn watch(redis: &Redis) -> Arc<Mutex<Vec<u64>>> {
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
                seen.lock().expect("nobody panicked").push(time.parse().expect("a number"));
            }
        }
    });
    times
}

/// The limit is 100 at once, and then one each 0.6 seconds: of 150 calls of one moment 100 pass, and one more for each 0.6
/// seconds that a slow machine takes for them. Redis tells when each came, so that these are counted and not guessed.
#[tokio::test(flavor = "multi_thread")]
async fn of_150_calls_over_three_replicas_100_pass_and_what_comes_free_meanwhile() {
    const LIMIT: [(&str, &str); 1] = [("RATE_LIMIT_PER_TENANT", "100/minute")];
    const INTERVAL: u64 = 600_000;
    let redis = Redis::start().expect("Redis starts");
    let mut app = TestApp::with_redis(&redis, &LIMIT).await;
    for _ in 0..2 {
        app.add_api(free_port().expect("a port"), &LIMIT);
    }
    let key = app.make_key(ADA, &["chat"]).await;
    let times = watch(&redis).await;
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
            status => panic!("{status}\n{}", app.logs()),
        }
    }
    assert_eq!(passed + refused, 150);
    let times = times.lock().expect("nobody panicked").clone();
    assert_eq!(times.len(), 150, "Redis was asked for each\n{}", app.logs());
    let (mut free_at, mut expected) = (times[0], 0);
    for time in &times {
        // The hundred of the beginning, and those that came free since.
        if free_at <= time + 99 * INTERVAL {
            expected += 1;
            free_at += INTERVAL;
        }
    }
    let took = times[149] - times[0];
    assert_eq!(passed, expected, "over {took} µs");
    assert!((100..=100 + took / INTERVAL).contains(&passed), "{passed} over {took} µs");
    assert_eq!(app.database.ask("select count(*) from usage where outcome = 'answered'"), passed.to_string());
    eprintln!("{passed} of 150 passed; the calls came over {} ms", took / 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_asks_again_and_again_moves_nobody_back() {
    let redis = Redis::start().expect("Redis starts");
    let mut app = TestApp::with_redis(&redis, &LIMIT).await;
    let key = app.make_key(ADA, &["chat"]).await;
    for number in 0..12 {
        let answer = app.answer(&key, json!({ "message": format!("say: {number}") })).await;
        assert_eq!(answer["answer"], number.to_string());
    }
    for _ in 0..5 {
        assert_eq!(app.problem_of(&key, json!({ "message": "say: One more." })).await.0, 429);
    }
    app.say(GRACE, None, "say: I wait.");
    app.becomes("select count(*) from events where turn_at > now()", "1").await;
    let minutes =
        "select round(extract(epoch from turn_at - received_at) / 60) from events where turn_at is not null";
    assert_eq!(app.database.ask(minutes), "5", "hers is the next turn");
    let put_off = app.metric("enablebot_put_off_total{limit=\"tenant\"}").await;
    assert!(put_off >= 2.0, "both are counted: {put_off}");
    app.drop_backlog();
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_of_all_they_come_again_until_there_is_room() {
    let redis = Redis::start().expect("Redis starts");
    let app = TestApp::with_redis(&redis, &[("RATE_LIMIT_GLOBAL", "2/second")]).await;
    let said: Vec<(String, String)> = (0..6)
        .map(|number| (app.say(ADA, None, &format!("say: Answer {number}.")), format!("Answer {number}.")))
        .collect();
    app.all_answered(&said).await;
    assert_ne!(app.database.ask("select count(*) from events where turn_at is not null"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_redis_is_told_costs_nobody_an_answer_and_comes_back() {
    let mut redis = Redis::start().expect("Redis starts");
    let app = TestApp::with_redis(&redis, &LIMIT).await;
    let (api, dm) = (app.apis[0].url(), app.dm(ADA));
    for url in [&api, &app.web.url()] {
        assert_eq!(app.checks(url).await.1["redis"], "ok");
    }

    redis.kill().expect("it dies");
    let asked = Instant::now();
    let ts = app.say(ADA, None, "say: Without Redis.");
    assert_eq!(app.reply(&dm, &ts).await, "Without Redis.");
    assert!(asked.elapsed() < Duration::from_secs(3), "after {:?}", asked.elapsed());
    app.logs_say("Redis is lost: until it is back each replica counts its limits alone").await;
    for url in [&api, &app.web.url()] {
        let (status, checks) = app.checks(url).await;
        assert_eq!(status, 200, "it works without: {checks}");
        assert_ne!(checks["redis"], "ok");
    }
    redis.revive().expect("it comes back");
    app.logs_say("Redis is back: limits are shared again").await;
    assert_eq!(app.checks(&api).await.1["redis"], "ok");

    launch::send(redis.pid(), Signal::STOP);
    let asked = Instant::now();
    let ts = app.say(ADA, None, "say: While it hangs.");
    assert_eq!(app.reply(&dm, &ts).await, "While it hangs.");
    assert!(asked.elapsed() < Duration::from_secs(3), "after {:?}", asked.elapsed());
    let (status, checks) = app.checks(&api).await;
    assert_eq!((status, checks["redis"] == "ok"), (200, false), "{checks}");
    launch::send(redis.pid(), Signal::CONT);
    app.logs_say("did not answer within").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_replica_counts_alone_and_says_so_at_its_start() {
    let mut app = TestApp::start_with(|settings| settings.rate_limits = false, &LIMIT).await;
    app.install().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.logs_say("REDIS_URL is not set: limits are counted in this process alone").await;
    let said: Vec<String> = (0..13).map(|number| app.say(ADA, None, &format!("say: {number}"))).collect();
    app.becomes("select count(*) from events where kind = 'message' and outcome = 'answered'", "12").await;
    app.becomes("select count(*) from events where outcome is null and turn_at > now()", "1").await;
    assert_eq!(app.answered(ADA, &said), 12);
    app.drop_backlog();
}
