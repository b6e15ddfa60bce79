//! The keys to what is stored: replaced while everything goes on, by whoever comes to it, however often that one dies.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::RngExt;
use simulator::Message;
use xtask::cluster::free_port;
use xtask::service::{self, Service, Start};

use crate::ground::{Database, binaries, psql};
use crate::operate::run;
use crate::queue::BETA;
use crate::sealed::{KEYS, key};
use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

impl TestApp {
    /// Remembers each turn so many times more, so that there is much to do.
    fn multiply_turns(&self, times: u32) {
        self.database.ask(&format!(
            "insert into turns (tenant_id, channel_id, thread_ts, role, user_id, text)
             select tenant_id, 'C0COPY', n || '.' || turn_id, role, user_id, text
             from turns, generate_series(1, {times}) as n where channel_id <> 'C0COPY'"
        ));
    }

    /// Lets the services start again with these master keys.
    fn restart_with(&mut self, keys: &str) {
        self.settings.secrets.encryption_keys = keys.to_owned();
        self.web.stop().expect("it ends");
        self.web = self.add_web(self.settings.ports.web);
        self.apis.clear();
        self.add_api(self.settings.ports.api, &[]);
    }

    async fn remembers(&self, dm: &str, thread: &str, words: &str) {
        let text = "say: Still here.";
        self.say(ADA, Some(thread), text);
        assert_eq!(self.replies(dm, thread, 2).await.last().map(Message::shown), Some("Still here.".into()));
        let prompt = format!("{:?}", self.last_prompt());
        assert!(prompt.contains(words), "{prompt}");
    }

    /// Runs a command of the operator's beside the test.
    fn operate_beside(&self, arguments: &'static [&'static str]) -> JoinHandle<String> {
        let (program, variables) = (web(), self.settings.web());
        std::thread::spawn(move || service::run(&program, arguments, &variables).expect("it runs"))
    }

    /// Begins a rotation of everything, which may be killed.
    fn begin_rotation(&self) -> Service {
        let arguments = ["keys", "rotate", "--all"].map(str::to_owned).to_vec();
        let (program, variables) = (web(), self.settings.web());
        let show = Arc::new(|_: &str| ());
        let start = Start { name: "rotation", program: &program, arguments, variables, port: 0, show };
        Service::start(start).expect("it starts")
    }
}

fn web() -> PathBuf {
    binaries().path("web").expect("web").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_replaced_while_two_replicas_answer() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance();
    let dm = app.dm(ADA);
    let first = app.say(ADA, None, "say: The heron is blue.");
    assert_eq!(app.reply(&dm, &first).await, "The heron is blue.");
    app.multiply_turns(500);
    let before = app.database.ask(KEYS);
    app.simulator.set_model_behaviour("ttft=50&gap=20");
    let mut asked = Vec::new();
    for round in 0..5 {
        let rotation = app.operate_beside(&["keys", "rotate", "--all"]);
        while !rotation.is_finished() {
            let text = format!("say: It is answer number {} of round {round}.", asked.len());
            asked.push((app.say(ADA, None, &text), text));
            tokio::time::sleep(Duration::from_millis(50)).await;
            app.opens_everything();
        }
        let told = rotation.join().expect("it ends");
        assert!(told.contains("T0ACME (1 of 1): ") && told.contains("sealed with the new key"), "{told}");
    }
    for (ts, text) in &asked {
        assert_eq!(format!("say: {}", app.reply(&dm, ts).await), *text);
    }
    assert!(asked.len() > 6, "{}", asked.len());
    let after = app.database.ask(KEYS);
    assert!(after.lines().count() == 1 && after != before, "{after}");
    app.opens_everything();
    app.remembers(&dm, &first, "The heron is blue.").await;
    let logged = "select count(*) from audit_log where action = 'key_rotated' and actor = 'operator'";
    assert_eq!(app.database.ask(logged), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_is_changed_and_the_old_one_removed() {
    let (old, new) = (key("k1", 1), key("k2", 2));
    let keys = old.clone();
    let own = move |settings: &mut xtask::settings::Settings| settings.secrets.encryption_keys = keys;
    let mut app = TestApp::start_on(Database::create(), own, |_| {}, &[]).await;
    app.install().await;
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: The heron is blue.");
    assert_eq!(app.reply(&dm, &ts).await, "The heron is blue.");
    app.restart_with(&format!("{new},{old}"));
    let line = |status: &str, id: &str| {
        let line = status.lines().find(|line| line.contains(id)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{status}"))
    };
    let status = app.operate(&["keys", "status"]);
    assert!(line(&status, "k1").contains("still needed"), "{status}");
    assert!(line(&status, "k2").contains("wraps and signs what is new"), "{status}");
    assert!(status.contains("1 current, 0 retired, 0 due"), "{status}");
    let told = app.operate(&["keys", "rotate"]);
    assert!(told.contains("1 data key(s) wrapped") && told.contains("No data key is due."), "{told}");
    let status = app.operate(&["keys", "status"]);
    assert!(line(&status, "k1").contains("safe to remove"), "{status}");
    app.restart_with(&new);
    app.remembers(&dm, &ts, "The heron is blue.").await;

    // A key that is needed is missed.
    let mut variables = app.settings.web();
    variables.insert("ENCRYPTION_KEYS".into(), old);
    let status = run("web", &["keys", "status"], &variables);
    assert_eq!(status.0, Some(1), "{}", status.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_again_and_again_loses_nothing_and_comes_to_its_end() {
    let mut app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: The heron is blue.");
    assert_eq!(app.reply(&dm, &ts).await, "The heron is blue.");
    app.multiply_turns(2000);
    // Else it would go on with what was killed.
    app.web.stop().expect("it ends");
    let begun = Instant::now();
    app.operate(&["keys", "rotate", "--all"]);
    let whole = begun.elapsed();
    let mut half_way = 0;
    for _ in 0..10 {
        let mut rotation = app.begin_rotation();
        tokio::time::sleep(whole.mul_f64(rand::rng().random_range(0.05..1.0))).await;
        rotation.kill().expect("it is killed");
        half_way += usize::from(app.opens_everything() > 1);
    }
    assert!(half_way > 2, "{half_way} kills hit the middle of {whole:?}");
    assert!(
        app.operate(&["keys", "rotate"]).contains("rotate") || app.database.ask(KEYS).lines().count() == 1
    );
    assert_eq!(app.opens_everything(), 1);
    app.remembers(&dm, &ts, "The heron is blue.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_due_is_replaced_by_one_replica_and_goes_on_where_it_was_interrupted() {
    let mut app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.say(ADA, None, "say: The heron is blue.");
    assert_eq!(app.reply(&dm, &ts).await, "The heron is blue.");
    app.multiply_turns(2000);
    app.database.ask("update encryption_keys set created_at = now() - interval '91 days'");
    let count = "select count(*) from encryption_keys";
    app.becomes(count, "2").await;
    app.web.kill().expect("it is killed");
    app.opens_everything();
    assert_eq!(app.database.ask(count), "2", "it is interrupted");
    let others = [app.add_web(app.settings.ports.web), app.add_web(free_port().expect("a port"))];
    app.becomes(count, "1").await;
    app.opens_everything();
    assert_eq!(
        app.database.ask("select max(created_at) > now() - interval '1 hour' from encryption_keys"),
        "t"
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    let lines = others.iter().flat_map(Service::lines);
    let done = lines.filter(|line| line.contains("a data key was replaced, ")).count();
    assert_eq!(done, 1, "by one replica");
    app.remembers(&dm, &ts, "The heron is blue.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_outlives_whoever_may_have_read_it_and_what_waits_to_be_sorted() {
    let app = TestApp::installed().await;
    let url = app.database.url.clone();
    // A transaction that was there before; and nobody sorts while it lasts.
    let sql = "begin; select count(*) from turns; select pg_advisory_xact_lock(hashtext('enablebot sort_deliveries'));
               select pg_sleep(4); commit";
    let before = std::thread::spawn(move || psql(&url, sql));
    let lasts =
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    app.becomes(lasts, "1").await;
    let ts = app.say(ADA, None, "say: It was sorted late.");
    app.acknowledged("message", 1).await;
    assert_eq!(app.waiting(), "1");
    let rotation = app.operate_beside(&["keys", "rotate", "--all"]);
    app.becomes("select count(*) from encryption_keys", "2").await;
    assert!(!before.is_finished() && !rotation.is_finished());
    before.join().expect("it ends");
    assert!(rotation.join().expect("it ends").contains("sealed with the new key"));
    assert_eq!(app.database.ask(KEYS).lines().count(), 1);
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "It was sorted late.");
    app.opens_everything();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_begins_only_where_every_sealed_column_is_known() {
    let app = TestApp::installed().await;
    let before = app.database.ask(KEYS);
    app.database.ask("alter table settings add column of_tomorrow bytea");
    let (code, told) = run("web", &["keys", "rotate", "--all"], &app.settings.web());
    assert_eq!(code, Some(1));
    assert!(told.contains("settings.of_tomorrow is unknown"), "{told}");
    assert_eq!(app.database.ask(KEYS), before);
    app.database.ask("alter table settings drop column of_tomorrow");
    assert!(app.operate(&["keys", "rotate", "--all"]).contains("T0ACME (1 of 1)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_for_one_place_opens_in_no_other() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.settled().await;
    app.say_in(BETA, "U0ADABETA", "say: Of another workspace.");
    app.becomes("select count(*) from people where name is not null", "2").await;
    app.idle().await;
    let cookie = app.sign_in(ADA).await;
    let works = async || app.page("/dashboard/people", &cookie).await.0;
    assert_eq!(works().await, 200);
    app.database.ask("create table kept as select tenant_id, user_id, name from people");
    let others = [
        "select name from people where tenant_id = 'T0BETA' and name is not null",
        "select profile from people where tenant_id = 'T0ACME' and name is not null",
        "select name from sessions where tenant_id = 'T0ACME'",
        "select text from turns where tenant_id = 'T0ACME' limit 1",
        "select bot_token from installations where tenant_id = 'T0ACME'",
    ];
    for other in others {
        app.database.ask(&format!("update people set name = ({other}) where user_id = '{GRACE}'"));
        assert_eq!(works().await, 503, "{other}");
        app.database.ask("update people set name = kept.name from kept where kept.user_id = people.user_id");
        assert_eq!(works().await, 200, "{other}");
    }
    // The same column and the same row, of another tenant.
    app.database.ask(
        "update installations i set bot_token = o.bot_token from installations o
         where i.tenant_id = 'T0ACME' and o.tenant_id = 'T0BETA'",
    );
    let ts = app.say(GRACE, None, "say: nothing");
    app.becomes("select count(*) from events where outcome is null and attempts_log <> '[]'", "1").await;
    assert!(app.bots(&app.dm(GRACE), &ts).is_empty());
    app.database.ask("update events set outcome = 'discarded' where outcome is null");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_back_of_a_deleted_tenant_does_not_open() {
    let app = TestApp::installed().await;
    app.settled().await;
    let cookie = app.sign_in(ADA).await;
    assert_eq!(app.page("/dashboard/conversations", &cookie).await.0, 200);
    let tables = ["tenants", "installations", "sessions", "turns", "people", "usage"];
    for table in tables {
        app.database.ask(&format!("create table kept_{table} as select * from {table}"));
    }
    app.simulator.uninstall(TEAM);
    app.becomes("select count(*) from tenants", "0").await;
    app.idle().await;
    for table in tables {
        app.database.ask(&format!("insert into {table} select * from kept_{table}"));
    }
    let begun = Instant::now();
    while app.page("/dashboard/conversations", &cookie).await.0 == 200 {
        assert!(begun.elapsed() < PATIENCE, "the key is still in memory");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    app.say(ADA, None, "say: Is anybody there?");
    app.acknowledged("message", 2).await;
    app.idle().await;
    assert_eq!(app.database.ask("select count(*) from events"), "0", "nothing of it is sealed");
}
