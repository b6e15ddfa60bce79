//! `RATE_LIMIT_*`, across replicas and without the Redis that they share.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
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
