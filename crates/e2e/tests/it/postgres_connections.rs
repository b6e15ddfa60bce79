//! Behaviour while Postgres restarts, moves to another address, or is behind a pooler.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use xtask::child_process;
use xtask::cluster::{Pooler, free_port};
use xtask::settings::StackSettings;

use crate::fixtures::{TestDatabase, start_cluster};
use crate::postgres_outage::{abort_and_join, forward_port};
use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Sends messages at intervals, each in its own thread. Returns their `ts` and texts.
    pub(crate) async fn send_dms_at_intervals(&self, count: usize, pause: Duration) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for number in 0..count {
            let words = format!("Answer {number}.");
            said.push((self.send_dm(ADA, None, &format!("say: {words}")), words));
            tokio::time::sleep(pause).await;
        }
        said
    }

    /// Asserts that each message has exactly one reply.
    pub(crate) async fn assert_all_answered(&self, said: &[(String, String)]) {
        let dm = self.dm(ADA);
        for (ts, words) in said {
            self.wait_replies(&dm, ts, 1).await;
            let shown: Vec<String> =
                self.bot_messages(&dm, ts).iter().map(simulator::SlackMessage::visible_text).collect();
            assert_eq!(shown, [words.as_str()], "{}", self.api_logs());
        }
    }
}

/// Uses a pooler for the database, and bypasses it where a session is needed.
fn use_pooler(pooler: &Pooler, database: &TestDatabase) -> impl FnOnce(&mut StackSettings) + use<> {
    let (pooled, direct) = (pooler.url(database.name()), database.url.clone());
    move |settings| {
        settings.database_url = Some(pooled);
        settings.database_direct_url = Some(direct);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_restart_under_load_loses_nothing() {
    let mut cluster = start_cluster("restart");
    let database = TestDatabase::create_on_cluster(&cluster);
    let unlimited = |settings: &mut simulator::SimulatorSettings| settings.has_rate_limits = false;
    let app = TestApp::start_on_database(database, |_| {}, unlimited, &[]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=50&gap=20");
    let restart = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(1));
        cluster.restart(Duration::from_millis(500)).expect("it restarts");
        cluster
    });
    let said = app.send_dms_at_intervals(40, Duration::from_millis(75)).await;
    let _cluster = restart.await.expect("it restarts");
    app.assert_all_answered(&said).await;
    let statuses: Vec<_> = app.simulator.deliveries().iter().filter_map(|delivery| delivery.status).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    drop(app);
}

/// A readiness check waits for one second, and leaves no transaction waiting to begin.
#[tokio::test(flavor = "multi_thread")]
async fn abandoned_transaction_is_ended() {
    let cluster = start_cluster("left");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let database = TestDatabase::create_on_cluster(&cluster);
    let behind = use_pooler(&pooler, &database);
    let few = [("DATABASE_POOL_SIZE", "2"), ("DATABASE_MAX_OVERFLOW", "2")];
    let app =
        TestApp::start_on_database(database, behind, |settings| settings.has_rate_limits = false, &few).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ready = format!("{}/health/ready", app.apis[0].url());
    let mut said = Vec::new();
    for _ in 0..3 {
        child_process::send_signal(pooler.pid(), child_process::Signal::STOP);
        let asked: JoinSet<_> = (0..4).map(|_| app.http.get(&ready).send()).collect();
        for answer in asked.join_all().await {
            assert_eq!(answer.expect("an answer").status(), 503, "it does not answer within a second");
        }
        child_process::send_signal(pooler.pid(), child_process::Signal::CONT);
        said.extend(app.send_dms_at_intervals(10, Duration::from_millis(50)).await);
    }
    app.assert_all_answered(&said).await;
    assert!(!app.api_logs().contains("already a transaction in progress"), "{}", app.api_logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_features_work_behind_transaction_pooler() {
    let cluster = start_cluster("pooler");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let database = TestDatabase::create_on_cluster(&cluster);
    let behind = use_pooler(&pooler, &database);
    let mut app = TestApp::start_on_database(database, behind, |_| {}, &[]).await;
    app.install().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance_events();
    app.simulator.set_model_options("ttft=0&gap=5");
    let said = app.send_dms_at_intervals(12, Duration::from_millis(20)).await;
    app.assert_all_answered(&said).await;

    app.simulator.set_model_options("ttft=0&gap=10&stall=6");
    let dm = app.dm(GRACE);
    let ts = app.send_dm(GRACE, None, "say: It goes on and on and on and on.");
    let shown = |world: &simulator::FakeSlack| {
        world.thread(TEAM, &dm, &ts).iter().any(|message| message.is_streaming).then_some(())
    };
    app.simulator.wait_for(shown, TEST_TIMEOUT).await.expect("the answer begins");
    app.simulator.stop_session(TEAM, GRACE, &dm, &ts);
    assert!(app.wait_reply(&dm, &ts).await.ends_with("_Stopped._"));

    assert!(app.run_cli(&["tenants", "list"]).contains(TEAM));
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.wait_for_query("select count(*) from events", "0").await;
}

/// Returns the statement names under which Postgres was asked for a thread's earlier messages during a few
/// replies.
async fn list_statement_names(
    log: &Path,
    database: TestDatabase,
    configure: impl FnOnce(&mut StackSettings),
) -> Vec<String> {
    let name = database.name().to_owned();
    let app = TestApp::start_on_database(database, configure, |_| {}, &[]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let said = app.send_dms_at_intervals(5, Duration::from_millis(50)).await;
    app.assert_all_answered(&said).await;
    let log = std::fs::read_to_string(log).expect("Postgres has a log");
    let asked = |line: &str| {
        let (_, told) = line.split_once(&format!("<{name}> LOG:  duration:"))?;
        let (_, told) = told.split_once(" execute ")?;
        let (name, statement) = told.split_once(": ")?;
        statement.contains("origin, text from chat_memory").then(|| name.to_owned())
    };
    log.lines().filter_map(asked).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_unnamed_behind_pooler() {
    let cluster = start_cluster("names");
    let log = cluster.log_statements().expect("Postgres takes it");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let (one, two) = (TestDatabase::create_on_cluster(&cluster), TestDatabase::create_on_cluster(&cluster));
    let behind = use_pooler(&pooler, &one);
    let behind = list_statement_names(log, one, behind).await;
    assert!(behind.len() >= 5 && behind.iter().all(|name| name == "<unnamed>"), "{behind:?}");
    let straight = list_statement_names(log, two, |_| {}).await;
    assert!(straight.len() >= 5 && straight.iter().all(|name| name.starts_with("sqlx_s_")), "{straight:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_fails_over_to_second_address() {
    let database = TestDatabase::create();
    let real: url::Url = database.url.parse().expect("an address");
    let real_port = real.port().unwrap_or(5432);
    let (one, two) = (free_port().expect("a port"), free_port().expect("a port"));
    let (first, _second) = (forward_port(one, real_port).await, forward_port(two, real_port).await);
    let target = "target_session_attrs=read-write";
    let user = real.username();
    let both = format!("postgres://{user}@127.0.0.1:{one},127.0.0.1:{two}{}?{target}", real.path());
    let reached = |settings: &mut StackSettings| settings.database_url = Some(both);
    let app = TestApp::start_on_database(database, reached, |_| {}, &[]).await;
    app.install().await;
    abort_and_join(first).await;
    let begun = Instant::now();
    let ts = app.send_dm(ADA, None, "say: From the other one.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "From the other one.");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(app.get_page("/health/ready", None).await.status(), 200, "web has moved too");
}

#[tokio::test(flavor = "multi_thread")]
async fn hung_postgres_gives_slack_503() {
    let cluster = start_cluster("silent");
    let database = TestDatabase::create_on_cluster(&cluster);
    let app = TestApp::start_on_database(database, |_| {}, |_| {}, &[]).await;
    app.install().await;
    let silent = PausedPostgres::pause(cluster.pid());
    let begun = Instant::now();
    let event = serde_json::json!({
        "type": "app_mention", "channel": "C0GENERAL", "user": ADA, "text": "<@U0BOT0ACME> hi", "ts": "1.1",
    });
    let body = serde_json::json!({
        "type": "event_callback", "event_id": "EvSILENT", "event_time": 1, "team_id": TEAM,
        "authorizations": [{
            "enterprise_id": null, "team_id": TEAM, "user_id": "U0BOT0ACME", "is_bot": true,
            "is_enterprise_install": false,
        }],
        "event": event,
    });
    let status = app.simulator.deliver_raw(body.to_string()).await.expect("an answer");
    let took = begun.elapsed();
    drop(silent);
    assert_eq!((status, took < Duration::from_millis(2500)), (503, true), "{took:?}");
    // And the connection recovers by itself.
    let ts = app.send_dm(ADA, None, "say: There again.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "There again.");
}

/// A Postgres whose processes are suspended until this is dropped.
struct PausedPostgres(Vec<u32>);

impl PausedPostgres {
    fn pause(postmaster: u32) -> Self {
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = std::fs::read_to_string(children).expect("the kernel tells");
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let all: Vec<u32> = std::iter::once(postmaster).chain(children).collect();
        all.iter().for_each(|pid| child_process::send_signal(*pid, child_process::Signal::STOP));
        Self(all)
    }
}

impl Drop for PausedPostgres {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| child_process::send_signal(*pid, child_process::Signal::CONT));
    }
}
