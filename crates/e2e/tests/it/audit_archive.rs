//! The audit log's archive: each entry is archived once, before it is purged, and the archive can be verified
//! on its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use xtask::service::{Service, ServiceSpec};

use crate::audit_retention::wait_for_service_log;
use crate::fake_storage::{FakeStorage, STORAGE_KEY, StorageBehaviour};
use crate::fixtures::binaries;
use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Runs `web audit …`. Returns whether it succeeded, and its output.
    fn run_audit(&self, arguments: &[&str], extra_variables: &[(&str, &str)]) -> (bool, String) {
        let mut command = Command::new(binaries().path("web").expect("it is built"));
        command.arg("audit").args(arguments).env_clear().envs(self.settings.web_variables());
        let output = command.envs(extra_variables.iter().copied()).output().expect("it runs");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), text.concat())
    }

    /// Runs `web audit verify --archive` on all files in a folder.
    fn verify_archive(&self, files: &ArchiveFiles, extra_variables: &[(&str, &str)]) -> (bool, String) {
        let names = files.list_paths();
        let mut arguments = vec!["verify", "--archive"];
        arguments.extend(names.iter().map(|name| name.to_str().expect("text")));
        self.run_audit(&arguments, extra_variables)
    }

    /// Starts `web audit archive` as a process that can be killed.
    fn start_archiving(&self, storage: &FakeStorage) -> Service {
        let mut variables = self.settings.web_variables();
        variables.extend(storage.variables().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let program = binaries().path("web").expect("web").to_owned();
        let arguments = ["audit", "archive"].map(str::to_owned).to_vec();
        let show = Arc::new(|_: &str| ());
        let start = ServiceSpec {
            name: "archiving",
            program: &program,
            arguments,
            variables,
            port: 0,
            log_sink: show,
        };
        Service::start(start).expect("it starts")
    }
}

/// Objects of the archive, downloaded into a folder that is deleted on drop.
struct ArchiveFiles(PathBuf);

impl ArchiveFiles {
    fn fetch(storage: &FakeStorage, tenant: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("archive-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&folder).expect("a folder");
        for (path, text) in storage.list_objects() {
            if let Some(name) = path.strip_prefix(&format!("audit/audit/{tenant}/")) {
                fs::write(folder.join(name), text).expect("a file");
            }
        }
        Self(folder)
    }

    fn list_paths(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for ArchiveFiles {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the chain indexes of a tenant's entries in the archive, object by object.
fn archived_places(storage: &FakeStorage, tenant: &str) -> Vec<Vec<i64>> {
    let of_line = |line: &str| {
        serde_json::from_str::<Value>(line).expect("JSON")["chain_index"].as_i64().expect("a place")
    };
    let folder = format!("audit/audit/{tenant}/");
    let mut all: Vec<Vec<i64>> = storage
        .list_objects()
        .iter()
        .filter(|(path, _)| path.starts_with(&folder))
        .map(|(_, text)| text.lines().map(of_line).collect())
        .collect();
    all.sort();
    all
}

fn edit_file(path: &Path, change: impl FnOnce(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).expect("text"))).expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_archive_keeps_entries_and_advises() {
    let app = TestApp::start().await;
    app.write_audit_entries("T1", 5, 2);
    let (well, told) = app.run_audit(&["archive"], &[("SUPABASE_URL", "http://supabase.example")]);
    assert!(!well && told.contains("AUDIT_ARCHIVE_BUCKET is not set: there is no archive"), "{told}");
    let (well, told) =
        app.run_audit(&["archive"], &[("AUDIT_ARCHIVE_BUCKET", "audit"), ("SUPABASE_URL", "http://a.b")]);
    assert!(!well && told.contains("SUPABASE_URL does not begin with https://"), "{told}");
    assert!(told.contains("SUPABASE_SERVICE_KEY is not set"), "{told}");

    let storage = FakeStorage::start().await;
    let wrong_key =
        [storage.variables()[0], ("SUPABASE_SERVICE_KEY", "sb_secret_wrong"), storage.variables()[2]];
    let (well, told) = app.run_audit(&["archive"], &wrong_key);
    assert!(
        !well && told.contains("answered 403 (Invalid Compact JWS); check that SUPABASE_SERVICE_KEY"),
        "{told}"
    );
    assert!(!told.contains("sb_secret_wrong"), "{told}");
    let nothing = r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}"#;
    for (status, body, advice) in [
        (403, r#"{"message":"no"}"#, "answered 403 (no); check that SUPABASE_SERVICE_KEY"),
        (400, nothing, "answered 404 (Bucket not found); create a private bucket"),
        (500, "<html>", "answered 500 (no details); retrying later"),
        (413, "", "answered 413 (no details); check the project's Storage log"),
    ] {
        storage.set_behaviour(StorageBehaviour::Fails(status, body));
        let (well, told) = app.run_audit(&["archive"], &storage.variables());
        assert!(!well && told.contains(advice) && told.contains("nothing is lost"), "{status}: {told}");
        assert!(!told.contains(STORAGE_KEY), "{told}");
    }
    // Due entries that are not archived are never purged.
    let days = ("AUDIT_RETENTION_DAYS", "30");
    storage.set_behaviour(StorageBehaviour::Fails(500, ""));
    let own: Vec<_> = storage.variables().into_iter().chain([days]).collect();
    let web = app.start_audit_retention(&own);
    wait_for_service_log(&web, "audit log archiving failed, nothing is lost").await;
    let unanswered =
        [("SUPABASE_URL", "http://127.0.0.1:9"), storage.variables()[1], storage.variables()[2], days];
    let other = app.start_audit_retention(&unanswered);
    wait_for_service_log(&other, "Supabase Storage did not answer").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.remaining_places("T1"), "1-7 of 7");
    assert!(storage.list_objects().is_empty());
    let logs = format!("{}{}", web.log_lines().join("\n"), other.log_lines().join("\n"));
    assert!(!logs.contains(STORAGE_KEY) && !logs.contains("were not purged"), "{logs}");

    // It archives as soon as Storage works again; a tenant with only fresh entries waits until the end of the
    // day.
    app.write_audit_entries("T2", 0, 3);
    storage.set_behaviour(StorageBehaviour::Accepts);
    let _web = app.start_audit_retention(&own);
    app.wait_for_query("select count(*) from audit_log where tenant_id = 'T1'", "2").await;
    assert_eq!(archived_places(&storage, "T1"), [(1..=7).collect::<Vec<i64>>()]);
    assert!(archived_places(&storage, "T2").is_empty());
    assert_eq!(app.verify_audit(None).1.matches("intact").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_archiving_duplicates_nothing() {
    let app = TestApp::start().await;
    let storage = FakeStorage::start().await;
    app.write_audit_entries("T1", 500, 0);
    for _ in 0..11 {
        app.write_audit_entries("T2", 500, 0);
    }
    app.write_audit_entries("t/..?", 1, 1);
    storage.set_behaviour(StorageBehaviour::Hangs);
    for _ in 0..3 {
        let sent = storage.list_puts().len();
        let mut archiving = app.start_archiving(&storage);
        let begun = Instant::now();
        while storage.list_puts().len() == sent {
            assert!(begun.elapsed() < TEST_TIMEOUT, "{}", archiving.last_log_lines(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        archiving.kill().expect("it is killed");
        // More entries are written in between.
        app.write_audit_entries("T1", 0, 10);
    }
    assert_eq!(app.database.query("select archived_index from audit_chains where tenant_id = 'T1'"), "0");
    storage.set_behaviour(StorageBehaviour::Accepts);
    let (well, told) = app.run_audit(&["archive"], &storage.variables());
    assert!(well && told.contains("T1: 530 entries archived."), "{told}");
    assert_eq!(
        app.run_audit(&["archive"], &storage.variables()),
        (true, "Everything is archived.\n".to_owned())
    );
    let spans = |tenant: &str| -> Vec<(i64, i64)> {
        let all = archived_places(&storage, tenant);
        assert!(
            all.iter().all(|piece| piece.iter().copied().eq(piece[0]..=piece[piece.len() - 1])),
            "{all:?}"
        );
        all.iter().map(|piece| (piece[0], piece[piece.len() - 1])).collect()
    };
    assert_eq!(spans("T1"), [(1, 500), (501, 530)]);
    assert_eq!(spans("T2"), [(1, 5_000), (5_001, 5_500)]);
    let first = "audit/audit/T1/1-500.ndjson";
    assert_eq!(
        storage.list_puts().iter().filter(|path| *path == first).count(),
        4,
        "{:?}",
        storage.list_puts()
    );
    assert_eq!(storage.list_objects().len(), 5);
    assert!(
        storage.list_objects().contains_key("audit/audit/t=2f=2e=2e=3f/1-2.ndjson"),
        "no id leads elsewhere"
    );
    let (well, told) = app.verify_archive(&ArchiveFiles::fetch(&storage, "T1"), &[]);
    assert!(
        well && told.matches("intact").count() == 2 && told.contains("501-530.ndjson: matches"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_tampering_is_detected() {
    let app = TestApp::start().await;
    let storage = FakeStorage::start().await;
    app.write_audit_entries(TEAM, 6, 0);
    assert!(app.run_audit(&["archive"], &storage.variables()).0);
    app.write_audit_entries(TEAM, 4, 0);
    app.install().await;
    let cookie = app.sign_in(ADA).await;
    let own: Vec<_> = storage.variables().into_iter().chain([("AUDIT_RETENTION_DAYS", "30")]).collect();
    let _web = app.start_audit_retention(&own);
    app.wait_for_query("select count(*) from audit_log where tenant_id = 'T0ACME'", "2").await;
    let behind = "after 10 purged ones";
    let unbroken = format!("{TEAM}: intact, 2 entries, {behind}\n");
    assert_eq!(app.verify_audit(Some(TEAM)), (true, unbroken));
    let page = app.get_page("/dashboard/audit?verify=1", Some(&cookie)).await.text().await.expect("text");
    assert!(page.contains("10 older entries were purged after the retention period"), "{page}");
    assert_eq!(archived_places(&storage, TEAM), [(1..=6).collect::<Vec<i64>>(), (7..=12).collect()]);
    let alone = [("DATABASE_URL", "")];
    let whole = |own: &[(&str, &str)]| {
        let (well, told) = app.verify_archive(&ArchiveFiles::fetch(&storage, TEAM), own);
        assert!(well && told.matches("intact").count() == 2, "{told}");
        told
    };
    assert!(whole(&alone).contains("Not compared with a database"));
    assert!(whole(&[]).contains("7-12.ndjson: matches the database"));

    type Tampering = fn(&ArchiveFiles);
    let deeds: [(&str, Tampering); 8] = [
        ("entry 3 was changed", |files| {
            edit_file(&files.path("1-6.ndjson"), |text| text.replace("\"n\": 3", "\"n\": 4"))
        }),
        ("entry 9 was changed", |files| {
            edit_file(&files.path("7-12.ndjson"), |text| text.replacen("é\\\\3", "é\\\\9", 1))
        }),
        ("entry 2 is missing", |files| edit_file(&files.path("1-6.ndjson"), |text| remove_line(&text, 1))),
        ("entries 6 to 6 were cut off", |files| {
            edit_file(&files.path("1-6.ndjson"), |text| remove_line(&text, 5))
        }),
        ("entry 2 is missing", |files| {
            edit_file(&files.path("1-6.ndjson"), |text| {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.swap(1, 2);
                lines.join("\n")
            });
        }),
        ("line 2 is not an entry", |files| {
            edit_file(&files.path("7-12.ndjson"), |text| text.replacen("\n{", "\n{\"more\":1,", 1))
        }),
        ("7-12.ndjson: BROKEN: does not continue", |files| {
            edit_file(&files.path("1-6.ndjson"), |text| forge_chain(&text, ""))
        }),
        ("has entries that are also in", |files| {
            fs::copy(files.path("7-12.ndjson"), files.path("again.ndjson")).expect("a copy");
        }),
    ];
    for (found, change) in deeds {
        let files = ArchiveFiles::fetch(&storage, TEAM);
        change(&files);
        let (well, told) = app.verify_archive(&files, &alone);
        assert!(!well && told.contains("BROKEN") && told.contains(found), "{found}: {told}");
    }
    // A forger who knows the algorithm is only detected by comparison with the database.
    let files = ArchiveFiles::fetch(&storage, TEAM);
    let last = |name: &str| {
        let text = fs::read_to_string(files.path(name)).expect("text");
        let line: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        line["hash"].as_str().expect("a digest").to_owned()
    };
    edit_file(&files.path("1-6.ndjson"), |text| forge_chain(&text, ""));
    let joint = last("1-6.ndjson");
    edit_file(&files.path("7-12.ndjson"), |text| forge_chain(&text, &joint));
    assert!(app.verify_archive(&files, &alone).0, "alone they are a chain");
    let (well, told) = app.verify_archive(&files, &[]);
    assert!(!well && told.contains("7-12.ndjson: BROKEN: does not match the database"), "{told}");

    // A log that was tampered with is not archived.
    app.database.query("update audit_log set actor = 'U0MALLORY' where chain_index = 12");
    app.database.query("update audit_chains set archived_index = 10, archiving_index = null");
    let before = storage.list_objects();
    let (well, told) = app.run_audit(&["archive"], &storage.variables());
    assert!(!well && told.contains("does not verify (entry 12 was changed)"), "{told}");
    assert_eq!(storage.list_objects(), before);
}

/// Removes the line with this index from a file.
fn remove_line(text: &str, index: usize) -> String {
    let lines = text.lines().enumerate().filter(|(at, _)| *at != index);
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

/// Changes each entry of a file and recomputes all digests, starting from `previous`.
fn forge_chain(text: &str, previous: &str) -> String {
    let mut previous = previous.to_owned();
    let anew = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let at: chrono::DateTime<chrono::Utc> =
            line["created_at"].as_str().expect("a time").parse().expect("a time");
        let head =
            format!("[{}, {}, \"U0MALLORY\", {}, ", line["tenant_id"], line["chain_index"], line["action"]);
        let says = format!("{head}\"{{}}\", {}]", at.timestamp_micros());
        let hash =
            Sha256::new().chain_update(hex::decode(&previous).expect("hex")).chain_update(says).finalize();
        let mut line = line.clone();
        line["actor"] = "U0MALLORY".into();
        line["detail"] = serde_json::json!({});
        line["previous_hash"] = previous.as_str().into();
        line["hash"] = hex::encode(hash).into();
        previous = line["hash"].as_str().expect("text").to_owned();
        format!("{line}\n")
    };
    text.lines().map(anew).collect()
}
