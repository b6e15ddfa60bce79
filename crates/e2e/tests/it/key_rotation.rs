//! Rotation of master keys and data keys under load, by several processes that may die at any time.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::RngExt;
use simulator::SlackMessage;
use xtask::cluster::free_port;
use xtask::service::{self, Service, ServiceSpec};

use crate::cli::run_to_exit;
use crate::encryption_at_rest::{DATA_KEY_IDS_SQL, master_key};
use crate::fixtures::{TestDatabase, binaries, psql};
use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Multiplies the stored chat messages, so that a rotation takes a while.
    pub(crate) fn multiply_chat_messages(&self, times: u32) {
        self.database.query(&format!(
            "insert into chat_memory (tenant_id, channel_id, thread_ts, role, user_id, text)
             select tenant_id, 'C0COPY', n || '.' || message_id, role, user_id, text
             from chat_memory, generate_series(1, {times}) as n where channel_id <> 'C0COPY'"
        ));
    }

    /// Restarts the services with these master keys.
    pub(crate) fn restart_with_master_keys(&mut self, keys: &str) {
        self.settings.secrets.encryption_keys = keys.to_owned();
        self.web.stop().expect("it ends");
        self.web = self.add_web(self.settings.ports.web);
        self.apis.clear();
        self.add_api(self.settings.ports.api, &[]);
    }

    async fn assert_remembers(&self, dm: &str, thread: &str, words: &str) {
        let text = "say: Still here.";
        self.send_dm(ADA, Some(thread), text);
        assert_eq!(
            self.wait_replies(dm, thread, 2).await.last().map(SlackMessage::visible_text),
            Some("Still here.".into())
        );
        let prompt = format!("{:?}", self.last_prompt());
        assert!(prompt.contains(words), "{prompt}");
    }

    /// Runs an operator's command in the background.
    fn run_cli_in_background(&self, arguments: &'static [&'static str]) -> JoinHandle<String> {
        let (program, variables) = (web_program(), self.settings.web_variables());
        std::thread::spawn(move || service::run_command(&program, arguments, &variables).expect("it runs"))
    }

    /// Starts a rotation of everything as a process that can be killed.
    fn start_rotation(&self) -> Service {
        let arguments = ["keys", "rotate", "--all"].map(str::to_owned).to_vec();
        let (program, variables) = (web_program(), self.settings.web_variables());
        let show = Arc::new(|_: &str| ());
        let start = ServiceSpec {
            name: "rotation",
            program: &program,
            arguments,
            variables,
            port: 0,
            log_sink: show,
        };
        Service::start(start).expect("it starts")
    }
}

fn web_program() -> PathBuf {
    binaries().path("web").expect("web").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn key_rotation_under_load_replaces_every_key() {
    let mut app = TestApp::installed().await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance_events();
    let dm = app.dm(ADA);
    let first = app.send_dm(ADA, None, "say: The heron is blue.");
    assert_eq!(app.wait_reply(&dm, &first).await, "The heron is blue.");
    app.multiply_chat_messages(500);
    let before = app.database.query(DATA_KEY_IDS_SQL);
    app.simulator.set_model_options("ttft=50&gap=20");
    let mut asked = Vec::new();
    for round in 0..5 {
        let rotation = app.run_cli_in_background(&["keys", "rotate", "--all"]);
        while !rotation.is_finished() {
            let text = format!("say: It is answer number {} of round {round}.", asked.len());
            asked.push((app.send_dm(ADA, None, &text), text));
            tokio::time::sleep(Duration::from_millis(50)).await;
            app.decrypt_all_values();
        }
        let told = rotation.join().expect("it ends");
        assert!(
            told.contains("T0ACME (1 of 1): ") && told.contains("re-encrypted with the new key"),
            "{told}"
        );
    }
    for (ts, text) in &asked {
        assert_eq!(format!("say: {}", app.wait_reply(&dm, ts).await), *text);
    }
    assert!(asked.len() > 6, "{}", asked.len());
    let after = app.database.query(DATA_KEY_IDS_SQL);
    assert!(after.lines().count() == 1 && after != before, "{after}");
    app.decrypt_all_values();
    app.assert_remembers(&dm, &first, "The heron is blue.").await;
    let logged = "select count(*) from audit_log where action = 'key_rotated' and actor = 'operator'";
    assert_eq!(app.database.query(logged), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn master_key_is_replaced_and_old_removed() {
    let (old, new) = (master_key("k1", 1), master_key("k2", 2));
    let keys = old.clone();
    let own = move |settings: &mut xtask::settings::StackSettings| settings.secrets.encryption_keys = keys;
    let mut app = TestApp::start_on_database(TestDatabase::create(), own, |_| {}, &[]).await;
    app.install().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: The heron is blue.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "The heron is blue.");
    app.restart_with_master_keys(&format!("{new},{old}"));
    let line = |status: &str, id: &str| {
        let line = status.lines().find(|line| line.contains(id)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{status}"))
    };
    let status = app.run_cli(&["keys", "status"]);
    assert!(line(&status, "k1").contains("still needed"), "{status}");
    assert!(line(&status, "k2").contains("active: wraps new data keys"), "{status}");
    assert!(status.contains("1 current, 0 retired, 0 due"), "{status}");
    let told = app.run_cli(&["keys", "rotate"]);
    assert!(told.contains("1 data key(s) re-wrapped") && told.contains("No data key is due."), "{told}");
    let status = app.run_cli(&["keys", "status"]);
    assert!(line(&status, "k1").contains("safe to remove"), "{status}");
    app.restart_with_master_keys(&new);
    app.assert_remembers(&dm, &ts, "The heron is blue.").await;

    // A missing key that is still needed is reported.
    let mut variables = app.settings.web_variables();
    variables.insert("ENCRYPTION_KEYS".into(), old);
    let status = run_to_exit("web", &["keys", "status"], &variables);
    assert_eq!(status.0, Some(1), "{}", status.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_rotation_survives_repeated_kills() {
    let mut app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: The heron is blue.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "The heron is blue.");
    app.multiply_chat_messages(2000);
    // Otherwise it would continue the killed rotation.
    app.web.stop().expect("it ends");
    let begun = Instant::now();
    app.run_cli(&["keys", "rotate", "--all"]);
    let whole = begun.elapsed();
    let (mut kills, mut half_way) = (0, 0);
    while kills < 10 || half_way < 3 {
        kills += 1;
        assert!(kills < 60, "{half_way} of {kills} kills hit the middle of {whole:?}");
        let mut rotation = app.start_rotation();
        tokio::time::sleep(whole.mul_f64(rand::rng().random_range(0.05..1.0))).await;
        rotation.kill().expect("it is killed");
        half_way += usize::from(app.decrypt_all_values() > 1);
    }
    assert!(
        app.run_cli(&["keys", "rotate"]).contains("rotate")
            || app.database.query(DATA_KEY_IDS_SQL).lines().count() == 1
    );
    assert_eq!(app.decrypt_all_values(), 1);
    app.assert_remembers(&dm, &ts, "The heron is blue.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn due_rotation_resumes_after_kill() {
    let mut app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let ts = app.send_dm(ADA, None, "say: The heron is blue.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "The heron is blue.");
    app.multiply_chat_messages(2000);
    // Slow enough to be killed in the middle.
    app.database.query(
        "create function slow_update() returns trigger language plpgsql as
             'begin perform pg_sleep(0.005); return new; end';
         create trigger slow_update before update on chat_memory for each row execute function slow_update()",
    );
    app.database.query("update encryption_keys set created_at = now() - interval '91 days'");
    let count = "select count(*) from encryption_keys";
    app.wait_for_query(count, "2").await;
    app.web.kill().expect("it is killed");
    app.database.query("drop trigger slow_update on chat_memory");
    app.decrypt_all_values();
    assert_eq!(app.database.query(count), "2", "it is interrupted");
    let others = [app.add_web(app.settings.ports.web), app.add_web(free_port().expect("a port"))];
    app.wait_for_query(count, "1").await;
    app.decrypt_all_values();
    assert_eq!(
        app.database.query("select max(created_at) > now() - interval '1 hour' from encryption_keys"),
        "t"
    );
    let replaced_keys = || {
        let lines = others.iter().flat_map(Service::log_lines);
        lines.filter(|line| line.contains("data key rotated: ")).count()
    };
    let begun = Instant::now();
    while replaced_keys() == 0 {
        assert!(begun.elapsed() < TEST_TIMEOUT, "no replica has logged the rotation");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(replaced_keys(), 1, "by one replica");
    app.assert_remembers(&dm, &ts, "The heron is blue.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_outlives_open_transactions() {
    let app = TestApp::installed().await;
    let url = app.database.url.clone();
    // A transaction that began earlier blocks; the inbox is not drained while it lasts.
    let sql = "begin; select count(*) from chat_memory; select pg_advisory_xact_lock(hashtext('enablebot inbox_drain'));
               select pg_sleep(4); commit";
    let before = std::thread::spawn(move || psql(&url, sql));
    let lasts =
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    app.wait_for_query(lasts, "1").await;
    let ts = app.send_dm(ADA, None, "say: It was sorted late.");
    app.wait_acknowledged("message", 1).await;
    assert_eq!(app.count_pending(), "1");
    let rotation = app.run_cli_in_background(&["keys", "rotate", "--all"]);
    app.wait_for_query("select count(*) from encryption_keys", "2").await;
    assert!(!before.is_finished() && !rotation.is_finished());
    before.join().expect("it ends");
    assert!(rotation.join().expect("it ends").contains("re-encrypted with the new key"));
    assert_eq!(app.database.query(DATA_KEY_IDS_SQL).lines().count(), 1);
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "It was sorted late.");
    app.decrypt_all_values();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_refuses_unknown_encrypted_column() {
    let app = TestApp::installed().await;
    let before = app.database.query(DATA_KEY_IDS_SQL);
    app.database.query("alter table settings add column of_tomorrow bytea");
    let (code, told) = run_to_exit("web", &["keys", "rotate", "--all"], &app.settings.web_variables());
    assert_eq!(code, Some(1));
    assert!(told.contains("does not know the column settings.of_tomorrow"), "{told}");
    assert_eq!(app.database.query(DATA_KEY_IDS_SQL), before);
    app.database.query("alter table settings drop column of_tomorrow");
    assert!(app.run_cli(&["keys", "rotate", "--all"]).contains("T0ACME (1 of 1)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ciphertext_opens_only_in_own_column() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.wait_settled().await;
    app.send_dm_in_team(BETA, BETA_ADA, "say: Of another workspace.");
    app.wait_for_query("select count(*) from people where name is not null", "2").await;
    app.wait_idle().await;
    let cookie = app.sign_in(ADA).await;
    let works = async || app.get_page_text("/dashboard/people", &cookie).await.0;
    assert_eq!(works().await, 200);
    app.database.query("create table kept as select tenant_id, user_id, name from people");
    let others = [
        "select name from people where tenant_id = 'T0BETA' and name is not null",
        "select profile from people where tenant_id = 'T0ACME' and name is not null",
        "select name from sessions where tenant_id = 'T0ACME'",
        "select text from chat_memory where tenant_id = 'T0ACME' limit 1",
        "select bot_token from installations where tenant_id = 'T0ACME'",
    ];
    for other in others {
        app.database.query(&format!("update people set name = ({other}) where user_id = '{GRACE}'"));
        assert_eq!(works().await, 503, "{other}");
        app.database
            .query("update people set name = kept.name from kept where kept.user_id = people.user_id");
        assert_eq!(works().await, 200, "{other}");
    }
    // The same column and row, of another tenant.
    app.database.query(
        "update installations i set bot_token = o.bot_token from installations o
         where i.tenant_id = 'T0ACME' and o.tenant_id = 'T0BETA'",
    );
    let ts = app.send_dm(GRACE, None, "say: nothing");
    app.wait_for_query("select count(*) from events where outcome is null and attempts_log <> '[]'", "1")
        .await;
    assert!(app.bot_messages(&app.dm(GRACE), &ts).is_empty());
    app.database.query("update events set outcome = 'discarded' where outcome is null");
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_data_of_deleted_tenant_is_unreadable() {
    let app = TestApp::installed().await;
    app.wait_settled().await;
    let cookie = app.sign_in(ADA).await;
    assert_eq!(app.get_page_text("/dashboard/conversations", &cookie).await.0, 200);
    let tables = ["tenants", "installations", "sessions", "chat_memory", "people", "usage"];
    for table in tables {
        app.database.query(&format!("create table kept_{table} as select * from {table}"));
    }
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from tenants", "0").await;
    app.wait_idle().await;
    for table in tables {
        app.database.query(&format!("insert into {table} select * from kept_{table}"));
    }
    let begun = Instant::now();
    while app.get_page_text("/dashboard/conversations", &cookie).await.0 == 200 {
        assert!(begun.elapsed() < TEST_TIMEOUT, "the key is still in memory");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    app.send_dm(ADA, None, "say: Is anybody there?");
    app.wait_acknowledged("message", 2).await;
    app.wait_idle().await;
    assert_eq!(app.database.query("select count(*) from events"), "0", "nothing of it is sealed");
}
