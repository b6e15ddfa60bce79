//! What EnableBot does while Postgres restarts, moves to another address, or stands behind a pooler.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use xtask::cluster::{Pooler, free_port};
use xtask::launch;
use xtask::settings::Settings;

use crate::ground::{Database, own_cluster};
use crate::test_app::{ADA, GRACE, TEAM, TestApp};

impl TestApp {
    /// Says something every so often for a while, each time in a thread of its own; the messages' `ts` with the words.
    pub(crate) async fn keep_saying(&self, count: usize, pause: Duration) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for number in 0..count {
            let words = format!("Answer {number}.");
            said.push((self.say(ADA, None, &format!("say: {words}")), words));
            tokio::time::sleep(pause).await;
        }
        said
    }

    /// Each message has got its one reply.
    pub(crate) async fn all_answered(&self, said: &[(String, String)]) {
        let dm = self.dm(ADA);
        for (ts, words) in said {
            self.replies(&dm, ts, 1).await;
            let shown: Vec<String> = self.bots(&dm, ts).iter().map(simulator::Message::shown).collect();
            assert_eq!(shown, [words.as_str()], "{}", self.logs());
        }
    }
}

/// Reaches the database through a pooler, and past it where a session is needed.
fn behind(pooler: &Pooler, database: &Database) -> impl FnOnce(&mut Settings) + use<> {
    let (pooled, direct) = (pooler.url(database.name()), database.url.clone());
    move |settings| {
        settings.database_url = Some(pooled);
        settings.database_direct_url = Some(direct);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_restarts_under_load_and_nothing_is_lost_or_doubled() {
    let mut cluster = own_cluster("restart");
    let database = Database::create_in(&cluster);
    let unlimited = |settings: &mut simulator::Settings| settings.rate_limits = false;
    let app = TestApp::start_on(database, |_| {}, unlimited, &[]).await;
    app.install().await;
    app.simulator.set_model_behaviour("ttft=50&gap=20");
    let restart = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(1));
        cluster.restart(Duration::from_millis(500)).expect("it restarts");
        cluster
    });
    let said = app.keep_saying(40, Duration::from_millis(75)).await;
    let _cluster = restart.await.expect("it restarts");
    app.all_answered(&said).await;
    let statuses: Vec<_> = app.simulator.deliveries().iter().filter_map(|delivery| delivery.status).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    drop(app);
}

/// Whoever asks whether the replica is ready waits for a second, and leaves a transaction that has not begun yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_left_while_it_began_takes_nothing_with_it() {
    let cluster = own_cluster("left");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let database = Database::create_in(&cluster);
    let behind = behind(&pooler, &database);
    let few = [("DATABASE_POOL_SIZE", "2"), ("DATABASE_MAX_OVERFLOW", "2")];
    let app = TestApp::start_on(database, behind, |settings| settings.rate_limits = false, &few).await;
    app.install().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let ready = format!("{}/health/ready", app.apis[0].url());
    let mut said = Vec::new();
    for _ in 0..3 {
        launch::send(pooler.pid(), launch::Signal::STOP);
        let asked: JoinSet<_> = (0..4).map(|_| app.http.get(&ready).send()).collect();
        for answer in asked.join_all().await {
            assert_eq!(answer.expect("an answer").status(), 503, "it does not answer within a second");
        }
        launch::send(pooler.pid(), launch::Signal::CONT);
        said.extend(app.keep_saying(10, Duration::from_millis(50)).await);
    }
    app.all_answered(&said).await;
    assert!(!app.logs().contains("already a transaction in progress"), "{}", app.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_transaction_pooler_everything_works() {
    let cluster = own_cluster("pooler");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let database = Database::create_in(&cluster);
    let behind = behind(&pooler, &database);
    let mut app = TestApp::start_on(database, behind, |_| {}, &[]).await;
    app.install().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance();
    app.simulator.set_model_behaviour("ttft=0&gap=5");
    let said = app.keep_saying(12, Duration::from_millis(20)).await;
    app.all_answered(&said).await;

    app.simulator.set_model_behaviour("ttft=0&gap=10&stall=6");
    let dm = app.dm(GRACE);
    let ts = app.say(GRACE, None, "say: It goes on and on and on and on.");
    let shown = |world: &simulator::World| {
        world.thread(TEAM, &dm, &ts).iter().any(|message| message.streaming).then_some(())
    };
    app.simulator.wait_for(shown, Duration::from_secs(10)).await.expect("the answer begins");
    app.simulator.stop(TEAM, GRACE, &dm, &ts);
    assert!(app.reply(&dm, &ts).await.ends_with("_Stopped._"));

    assert!(app.operate(&["tenants", "list"]).contains(TEAM));
    app.simulator.uninstall(TEAM);
    app.becomes("select count(*) from tenants", "0").await;
    app.becomes("select count(*) from events", "0").await;
}

/// By what names Postgres was asked for the earlier turns of a thread while a few questions were answered; a database's own.
async fn names_of_statements(
    log: &Path,
    database: Database,
    reached: impl FnOnce(&mut Settings),
) -> Vec<String> {
    let name = database.name().to_owned();
    let app = TestApp::start_on(database, reached, |_| {}, &[]).await;
    app.install().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let said = app.keep_saying(5, Duration::from_millis(50)).await;
    app.all_answered(&said).await;
    let log = std::fs::read_to_string(log).expect("Postgres has a log");
    let asked = |line: &str| {
        let (_, told) = line.split_once(&format!("<{name}> LOG:  duration:"))?;
        let (_, told) = told.split_once(" execute ")?;
        let (name, statement) = told.split_once(": ")?;
        statement.contains("origin, text from turns").then(|| name.to_owned())
    };
    log.lines().filter_map(asked).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_have_names_only_where_no_pooler_stands_between() {
    let cluster = own_cluster("names");
    let log = cluster.log_statements().expect("Postgres takes it");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let (one, two) = (Database::create_in(&cluster), Database::create_in(&cluster));
    let behind = behind(&pooler, &one);
    let behind = names_of_statements(log, one, behind).await;
    assert!(behind.len() >= 5 && behind.iter().all(|name| name == "<unnamed>"), "{behind:?}");
    let straight = names_of_statements(log, two, |_| {}).await;
    assert!(straight.len() >= 5 && straight.iter().all(|name| name.starts_with("sqlx_s_")), "{straight:?}");
}

/// Forwards to Postgres until it is dropped.
async fn forward(port: u16, to: u16) -> JoinSet<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut from, _)) = listener.accept().await {
            connections.spawn(async move {
                if let Ok(mut to) = TcpStream::connect(("127.0.0.1", to)).await {
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    forwarding
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_first_address_of_postgres_is_gone_the_next_one_is_used() {
    let database = Database::create();
    let real: url::Url = database.url.parse().expect("an address");
    let real_port = real.port().unwrap_or(5432);
    let (one, two) = (free_port().expect("a port"), free_port().expect("a port"));
    let (mut first, _second) = (forward(one, real_port).await, forward(two, real_port).await);
    let target = "target_session_attrs=read-write";
    let user = real.username();
    let both = format!("postgres://{user}@127.0.0.1:{one},127.0.0.1:{two}{}?{target}", real.path());
    let reached = |settings: &mut Settings| settings.database_url = Some(both);
    let app = TestApp::start_on(database, reached, |_| {}, &[]).await;
    app.install().await;
    first.shutdown().await;
    let begun = Instant::now();
    let ts = app.say(ADA, None, "say: From the other one.");
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "From the other one.");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(app.get("/health/ready", None).await.status(), 200, "web has moved too");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_says_nothing_slack_is_told_to_come_again() {
    let cluster = own_cluster("silent");
    let database = Database::create_in(&cluster);
    let app = TestApp::start_on(database, |_| {}, |_| {}, &[]).await;
    app.install().await;
    let silent = Silent::all_of(cluster.pid());
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
    // And it comes back by itself.
    let ts = app.say(ADA, None, "say: There again.");
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "There again.");
}

/// A Postgres whose processes stand still, until this is dropped.
struct Silent(Vec<u32>);

impl Silent {
    fn all_of(postmaster: u32) -> Self {
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = std::fs::read_to_string(children).expect("the kernel tells");
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let all: Vec<u32> = std::iter::once(postmaster).chain(children).collect();
        all.iter().for_each(|pid| launch::send(*pid, launch::Signal::STOP));
        Self(all)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| launch::send(*pid, launch::Signal::CONT));
    }
}
