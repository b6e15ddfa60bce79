//! The scripts of `deploy/backup`: a backup to S3, and the drill that restores it and finds faults in a
//! backup.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use xtask::cluster::free_port;
use xtask::postgres::PostgresPrograms;
use xtask::service::{Service, ServiceSpec, Variables};
use xtask::system_packages::{self, SystemPackage};
use xtask::test_tools::find_or_install_s3_server;
use xtask::workspace;

use crate::fixtures::binaries;
use crate::test_app::{ADA, BETA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

const DRILL_CHECKS: [&str; 9] = [
    "dump digest",
    "data keys",
    "restore",
    "row counts",
    "row-level security",
    "schema",
    "encrypted values",
    "audit chains",
    "tombstones",
];

/// The scripts and their backup store.
struct BackupScripts<'a> {
    app: &'a TestApp,
    remote: String,
    variables: Variables,
}

impl BackupScripts<'_> {
    fn run_script(&self, script: &str, extra_variables: &[(&str, &str)]) -> Output {
        self.run_script_with(script, &[], extra_variables)
    }

    fn run_script_with(&self, script: &str, arguments: &[&str], extra_variables: &[(&str, &str)]) -> Output {
        let programs = PostgresPrograms::find_or_install().expect("Postgres' programs");
        let path = std::env::var("PATH").unwrap_or_default();
        let initdb = programs.path("initdb");
        let bin = initdb.parent().expect("a folder").display().to_string();
        let mut command = Command::new(workspace::root().join("deploy/backup").join(script));
        command.envs(&self.variables).env("PATH", format!("{bin}:{path}")).env("PGBIN", bin);
        command.env("DATABASE_URL", &self.app.database.url).env("BACKUP_REMOTE", &self.remote);
        command.env("WEB", binaries().path("web").expect("web"));
        command.env("ENCRYPTION_KEYS", &self.app.settings.secrets.encryption_keys);
        command.env("SCRATCH_PORT", free_port().expect("a port").to_string());
        // rclone cannot use plain http while this variable names a certificate.
        command.env_remove("AWS_CA_BUNDLE");
        command
            .args(arguments)
            .current_dir(workspace::target())
            .envs(extra_variables.iter().copied())
            .output()
            .expect("it runs")
    }

    fn back_up(&self) {
        let done = self.run_script("backup.sh", &[]);
        assert!(done.status.success(), "{}", output_text(&done));
    }

    /// Runs the drill. Returns the failed checks and the whole output.
    fn drill(&self, extra_variables: &[(&str, &str)]) -> (Vec<&'static str>, String) {
        self.drill_backup(&[], extra_variables)
    }

    /// Runs the drill with these arguments: the name of a manifest.
    fn drill_backup(
        &self,
        arguments: &[&str],
        extra_variables: &[(&str, &str)],
    ) -> (Vec<&'static str>, String) {
        let done = self.run_script_with("drill.sh", arguments, extra_variables);
        let said = output_text(&done);
        let is_told =
            |name: &str, end: &str| said.lines().any(|line| line.starts_with(&format!("{end:7} {name}")));
        let failed: Vec<_> = DRILL_CHECKS.into_iter().filter(|name| is_told(name, "FAILED")).collect();
        assert!(DRILL_CHECKS.iter().all(|name| is_told(name, "ok") || is_told(name, "FAILED")), "{said}");
        assert_eq!(done.status.success(), failed.is_empty(), "{said}");
        (failed, said)
    }
}

fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Starts an S3 server on loopback. Returns rclone's variables for it.
fn start_s3() -> (Service, Variables) {
    let program = find_or_install_s3_server().expect("moto");
    let port = free_port().expect("a port");
    let arguments = vec!["--port".to_owned(), port.to_string()];
    let variables = Variables::new();
    let start =
        ServiceSpec { name: "S3", program: &program, arguments, variables, port, log_sink: Arc::new(|_| ()) };
    let mut service = Service::start(start).expect("it starts");
    service.wait_until_ready("/moto-api/", TEST_TIMEOUT).expect("it gets ready");
    let endpoint = service.url();
    let settings = [
        ("TYPE", "s3"),
        ("PROVIDER", "Other"),
        ("ENDPOINT", &endpoint),
        ("REGION", "eu-central-1"),
        ("ACCESS_KEY_ID", "backup"),
        ("SECRET_ACCESS_KEY", "backup"),
    ];
    let named = settings.map(|(name, value)| (format!("RCLONE_CONFIG_STORE_{name}"), value.to_owned()));
    (service, named.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_drill_restores_and_names_faults() {
    system_packages::find_or_install(SystemPackage::Rclone).expect("rclone");
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let cookie = app.sign_in(ADA).await;
    let ts = app.send_dm(ADA, None, "say: The heron is kept.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    app.save_settings(&cookie, &[("facts", "We sell oolong in Lisbon.")]).await;

    let (_store, variables) = start_s3();
    let backups = BackupScripts { app: &app, remote: "store:backups/enablebot".into(), variables };
    backups.back_up();
    // A second backup, to show that the newest one is restored.
    app.save_settings(&cookie, &[("facts", "We sell sencha in Porto.")]).await;
    let grace = app.sign_in(GRACE).await;
    assert_eq!(app.send_form("/dashboard/people/me/forget", Some(&grace), &[]).await.status(), 303);
    backups.back_up();
    assert_eq!(app.database.query("select count(*) from backups where bytes > 10000"), "2", "each is noted");
    let (failed, said) = backups.drill(&[]);
    assert!(failed.is_empty() && said.contains("This backup can be restored."), "{said}");
    let rows = app.database.query("select count(*) from events");
    assert!(said.contains(&format!("{rows} of them events")), "{said}");
    assert!(said.contains("1 tenant(s) can be decrypted"), "{said}");
    assert!(said.contains("of 1 tombstones are new here"), "{said}");

    // A folder is also a backup store, and its files can be damaged.
    let folder = workspace::target().join(format!("test/backups-{}", std::process::id()));
    let remote = folder.display().to_string();
    let backups = BackupScripts { app: &app, remote, variables: Variables::new() };
    backups.back_up();
    let manifest = fs::read_to_string(folder.join("latest.json")).expect("what it holds");
    let had = |count: usize| format!("\"chat_memory\": {count}");
    assert!(manifest.contains(&had(2)), "{manifest}");
    fs::write(folder.join("latest.json"), manifest.replace(&had(2), &had(3))).expect("it is written");
    let other_key = "dev:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (failed, said) = backups.drill(&[("ENCRYPTION_KEYS", other_key)]);
    assert_eq!(failed, ["row counts", "encrypted values"], "{said}");
    assert!(
        said.contains("chat_memory has 2 rows, expected 3")
            && said.contains("chat_memory.text cannot be decrypted"),
        "{said}"
    );

    fs::write(folder.join("latest.json"), manifest).expect("it is written");
    let dump = newest_dump(&folder);
    let bytes = fs::read(&dump).expect("the dump");
    fs::write(&dump, &bytes[..bytes.len() / 2]).expect("it is written");
    let (failed, said) = backups.drill(&[]);
    assert_eq!(failed[..2], ["dump digest", "restore"], "{said}");

    app.database.query(
        "update chat_memory set text = set_byte(text, 40, get_byte(text, 40) # 1) where message_id = (select max(message_id) from chat_memory);
         update audit_log set action = 'nothing' where entry_id = (select min(entry_id) from audit_log);
         alter table chat_memory no force row level security",
    );
    backups.back_up();
    let (failed, said) = backups.drill(&[]);
    assert_eq!(failed, ["row-level security", "encrypted values", "audit chains"], "{said}");
    assert!(
        said.contains("1 value(s) of chat_memory.text cannot be decrypted")
            && said.contains("forced on chat_memory"),
        "{said}"
    );
    fs::remove_dir_all(folder).expect("it is removed");
}

/// Returns the tenant of each data key in the newest file of keys.
fn tenants_in_newest_keys(folder: &std::path::Path) -> Vec<String> {
    let manifest = fs::read_to_string(folder.join("latest.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let keys = fs::read_to_string(folder.join(manifest["keys"].as_str().expect("a name"))).expect("the keys");
    let rows = keys.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let mut tenants: Vec<String> =
        rows.map(|row| row["row"]["tenant_id"].as_str().expect("a tenant").to_owned()).collect();
    tenants.sort();
    tenants
}

#[tokio::test(flavor = "multi_thread")]
async fn old_backup_opens_only_living_tenants() {
    system_packages::find_or_install(SystemPackage::Rclone).expect("rclone");
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ts = app.send_dm(ADA, None, "say: The heron is kept.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    let folder = workspace::target().join(format!("test/old-backups-{}", std::process::id()));
    let remote = folder.display().to_string();
    let backups = BackupScripts { app: &app, remote, variables: Variables::new() };
    backups.back_up();
    let first = newest_dump(&folder);
    let restored = Command::new(PostgresPrograms::find_or_install().expect("Postgres").path("pg_restore"))
        .args(["--data-only", "--table=encryption_keys", "--file=-"])
        .arg(&first)
        .output()
        .expect("it runs");
    let restored = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(!restored.contains("COPY enablebot.encryption_keys"), "{restored}");
    let first = first.with_extension("json").file_name().expect("a name").to_string_lossy().into_owned();

    // A rotation deletes the keys of the first dump from the database. They remain in the next file of keys.
    app.run_cli(&["keys", "rotate", "--all"]);
    app.wait_for_query("select count(*) from encryption_keys", "2").await;
    sleep(BACKUP_NAME_INTERVAL).await;
    backups.back_up();
    assert_eq!(tenants_in_newest_keys(&folder), [TEAM, TEAM, BETA, BETA]);
    let (failed, said) = backups.drill_backup(&[&first], &[]);
    assert!(failed.is_empty() && said.contains("2 tenant(s) can be decrypted"), "{said}");

    app.simulator.uninstall(BETA);
    app.wait_for_query("select string_agg(tenant_id, ' ') from tenants", TEAM).await;
    let expiry = "select (detail #>> '{receipt,backup_keys_expire_at}')::timestamptz
                             = (select max(taken_at) + interval '7 days' from backups)
                  from audit_log where action = 'deleted'";
    assert_eq!(app.database.query(expiry), "t");
    sleep(BACKUP_NAME_INTERVAL).await;
    backups.back_up();
    assert_eq!(tenants_in_newest_keys(&folder), [TEAM, TEAM]);
    let (failed, said) = backups.drill_backup(&[&first], &[]);
    let beta = format!("no keys, so deleted since then: {BETA}");
    assert!(failed.is_empty() && said.contains(&beta), "{said}");

    // A new install gets new keys, and the old ones do not come back with them.
    app.install_in(BETA).await;
    sleep(BACKUP_NAME_INTERVAL).await;
    let done = backups.run_script("backup.sh", &[("BACKUP_KEYS_KEEP", "1s")]);
    assert!(done.status.success(), "{}", output_text(&done));
    assert_eq!(tenants_in_newest_keys(&folder), [TEAM, TEAM, BETA]);
    let (dumps, keys) = (list_names(&folder, "dump"), list_names(&folder.join("keys"), "keys"));
    assert_eq!((dumps.len(), keys.len()), (4, 1), "the older keys are deleted: {dumps:?} {keys:?}");
    fs::remove_dir_all(folder).expect("it is removed");
}

/// Backups are named after the second in which they begin.
const BACKUP_NAME_INTERVAL: Duration = Duration::from_millis(1100);

fn list_names(folder: &std::path::Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_shows_no_password_to_ps() {
    system_packages::find_or_install(SystemPackage::Rclone).expect("rclone");
    let app = TestApp::start().await;
    let folder = workspace::target().join(format!("test/secret-backups-{}", std::process::id()));
    fs::create_dir_all(folder.join("bin")).expect("a folder");
    let (programs, log) = (PostgresPrograms::find_or_install().expect("Postgres"), folder.join("log"));
    // Programs in front of the real ones, which write down what `ps` would show.
    for name in ["psql", "pg_dump"] {
        let (file, real) = (folder.join("bin").join(name), programs.path(name));
        let script = format!(
            "#!/bin/sh\n(echo \"$*|$PGPASSWORD|\" | tr '\\n' ' '; echo) >>'{}'\nexec '{}' \"$@\"\n",
            log.display(),
            real.display()
        );
        fs::write(&file, script).expect("it is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it may run");
    }
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let url = app.database.url.replace("enablebot@", "enablebot:p%40ss-w%C3%B6rd%25@");
    let remote = folder.join("store").display().to_string();
    let backups = BackupScripts { app: &app, remote, variables: Variables::new() };
    let done = backups.run_script("backup.sh", &[("PATH", &path), ("DATABASE_URL", &url)]);
    assert!(done.status.success(), "{}", output_text(&done));
    let shown = fs::read_to_string(log).expect("the log");
    assert!(shown.lines().count() >= 3);
    for line in shown.lines() {
        let (arguments, password) = line.split_once('|').expect("both");
        assert!(!arguments.contains("ss-w") && arguments.contains("enablebot@127.0.0.1"), "{line}");
        assert_eq!(password, "p@ss-wörd%| ");
    }

    let connection = workspace::root().join("deploy/backup/connection.sh");
    let tls_mode = |url: &str| {
        let script = ". \"$0\"; use_database \"$1\"; echo \"$database ${PGSSLMODE:-none}\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(&connection).arg(url).env_remove("PGSSLMODE");
        workspace::output(&mut shell).expect("it runs").trim().to_owned()
    };
    for near in
        ["u@postgres:5432", "u@10.1.2.3", "127.0.0.1,[::1]:5432", "u@db.data.svc", "u@%2Fvar%2Frun", ""]
    {
        let url = format!("postgres://{near}/db");
        assert_eq!(tls_mode(&url), format!("{url} none"));
    }
    for far in [
        "u@db.example.com",
        "u@10.example.com:5432",
        "8.8.8.8",
        "postgres,db.example.com",
        "[2001:db8::1]:5432",
    ] {
        let url = format!("postgres://{far}/db?application_name=backup");
        assert_eq!(tls_mode(&url), format!("{url} verify-full"));
        let own = format!("{url}&sslmode=require");
        assert_eq!(tls_mode(&own), format!("{own} none"));
    }
    fs::remove_dir_all(folder).expect("it is removed");
}

fn newest_dump(folder: &std::path::Path) -> PathBuf {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "dump")).max().expect("a dump")
}

#[test]
fn backup_scripts_pass_shellcheck() {
    let shellcheck = system_packages::find_or_install(SystemPackage::Shellcheck).expect("shellcheck");
    let folder = workspace::root().join("deploy/backup");
    let scripts = ["backup.sh", "connection.sh", "drill.sh"].map(|script| folder.join(script));
    workspace::output(
        Command::new(shellcheck).args(["--shell=sh", "--external-sources"]).args(scripts).current_dir(folder),
    )
    .expect("nothing is found");
}
