//! Deletions survive a restore of an older backup: tombstones are kept beside it and replayed.

use std::fs;
use std::process::Command;

use xtask::postgres::PostgresPrograms;
use xtask::service;
use xtask::workspace;

use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TestApp};

/// A dump of a database, and the databases that it is restored to.
struct DumpFile(std::path::PathBuf);

impl DumpFile {
    fn take(database: &TestDatabase) -> Self {
        let path = workspace::target().join(format!("test/{}.sql", database.name()));
        let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
        let mut dump = Command::new(programs.path("pg_dump"));
        dump.args(["--schema=enablebot", "--dbname", &database.url, "--file"]).arg(&path);
        workspace::output(&mut dump).expect("it is dumped");
        Self(path)
    }

    fn restore(&self) -> TestDatabase {
        let database = TestDatabase::create();
        let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
        let mut psql = Command::new(programs.path("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            &database.url,
            "--file",
        ]);
        workspace::output(psql.arg(&self.0)).expect("it is restored");
        database
    }
}

impl Drop for DumpFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl TestApp {
    /// Runs an operator's command on another database. Returns its output, or its error.
    fn run_cli_on(&self, database: &TestDatabase, arguments: &[&str]) -> Result<String, String> {
        let mut variables = self.settings.web_variables();
        for name in ["DATABASE_URL", "DATABASE_DIRECT_URL"] {
            if variables.contains_key(name) || name == "DATABASE_URL" {
                variables.insert(name.into(), database.url.clone());
            }
        }
        let done = service::run_command(binaries().path("web").expect("web"), arguments, &variables);
        done.map_err(|error| format!("{error:#}"))
    }

    /// Stores the tombstones in a file beside the dump.
    fn export_tombstones(&self, dump: &DumpFile) -> String {
        let file = dump.0.with_extension("tombstones");
        fs::write(&file, self.run_cli(&["tombstones", "export"])).expect("it is written");
        file.display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_replayed_after_restore() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    for user in [ADA, GRACE] {
        let asked = app.send_dm(user, None, "say: Before.");
        app.wait_reply(&app.dm(user), &asked).await;
    }
    app.send_dm_in_team(BETA, BETA_ADA, "say: The otter.");
    app.wait_for_query("select count(*) from events where outcome = 'answered'", "3").await;
    app.wait_idle().await;
    let older = DumpFile::take(&app.database);

    let cookie = app.sign_in(GRACE).await;
    assert_eq!(app.send_form("/dashboard/people/me/forget", Some(&cookie), &[]).await.status(), 303);
    app.simulator.uninstall(BETA);
    app.wait_for_query("select count(*) from tenants", "1").await;
    let file = app.export_tombstones(&older);
    let kept = fs::read_to_string(&file).expect("the tombstones");
    assert_eq!(kept.lines().count(), 2, "{kept}");
    assert!(![TEAM, BETA, GRACE].iter().any(|id| kept.contains(id)), "no names: {kept}");

    // The restored database has everything again, until the tombstones are imported.
    let restored = older.restore();
    let talks = "select string_agg(distinct tenant_id || ' ' || user_id, ',' order by tenant_id || ' ' || user_id) from chat_memory";
    assert_eq!(restored.query(talks), "T0ACME U0ADA,T0ACME U0GRACE,T0BETA U0ADABETA");
    let said = app.run_cli_on(&restored, &["tombstones", "import", &file]).expect("it runs");
    assert!(said.contains("2 of 2") && said.contains("1 workspace(s), 1 person(s)"), "{said}");
    assert_eq!(restored.query(talks), "T0ACME U0ADA");
    assert_eq!(restored.query("select count(*) from people where user_id = 'U0GRACE'"), "0");
    let entries = "select action, detail ? 'replayed' from audit_log where action in ('deleted', 'person_forgotten') order by 1";
    assert_eq!(restored.query(entries), "deleted|f\nperson_forgotten|t");
    let said = app.run_cli_on(&restored, &["tombstones", "import", &file]).expect("it runs");
    assert!(said.contains("0 of 2") && said.contains("0 workspace(s), 0 person(s)"), "{said}");

    // `web migrate` replays what an import left, and names a key that is missing.
    let again = older.restore();
    again.query(
        "insert into tombstones select md5('x') || md5('y'), 'tenant', 'lost', now(), true;
         select 1",
    );
    let refused = app.run_cli_on(&again, &["migrate"]).expect_err("a key is missing");
    assert!(refused.contains("the master key lost, which is not in ENCRYPTION_KEYS"), "{refused}");
    again.query("delete from tombstones");
    for line in kept.lines() {
        let [kind, digest, key, at] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        again.query(&format!("insert into tombstones values ('{digest}', '{kind}', '{key}', '{at}', true)"));
    }
    let said = app.run_cli_on(&again, &["migrate"]).expect("it runs");
    assert!(said.contains("1 workspace(s), 1 person(s)"), "{said}");
    assert_eq!(again.query(talks), "T0ACME U0ADA");
    assert_eq!(app.run_cli_on(&again, &["migrate"]).expect("it runs").trim(), "The schema is up to date.");

    // What came after the deletion stays: a new install, and new messages.
    app.install_in(BETA).await;
    app.send_dm_in_team(BETA, BETA_ADA, "say: Back again.");
    let asked = app.send_dm(GRACE, None, "say: After.");
    app.wait_reply(&app.dm(GRACE), &asked).await;
    app.wait_for_query("select count(*) from chat_memory", "6").await;
    app.wait_idle().await;
    let newer = DumpFile::take(&app.database).restore();
    newer.query("delete from tombstones");
    app.run_cli_on(&newer, &["tombstones", "import", &file]).expect("it runs");
    assert_eq!(newer.query("select count(*) from chat_memory"), "6");
    assert_eq!(newer.query(talks), "T0ACME U0ADA,T0ACME U0GRACE,T0BETA U0ADABETA");
    fs::remove_file(file).expect("it is removed");
}
