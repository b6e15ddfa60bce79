//! The archive of the audit log: all of it goes there, once, before anything is removed, and it can be verified by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use xtask::service::{Service, Start};

use crate::ground::binaries;
use crate::retention::says;
use crate::storage::{KEY, Mood, Storage};
use crate::test_app::{ADA, PATIENCE, TEAM, TestApp};

impl TestApp {
    /// `web audit …`: whether it ended well, and all that it printed.
    fn audit(&self, arguments: &[&str], own: &[(&str, &str)]) -> (bool, String) {
        let mut command = Command::new(binaries().path("web").expect("it is built"));
        command.arg("audit").args(arguments).env_clear().envs(self.settings.web());
        let output = command.envs(own.iter().copied()).output().expect("it runs");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), text.concat())
    }

    /// `web audit verify --archive` of all files in a folder.
    fn verify_files(&self, files: &Files, own: &[(&str, &str)]) -> (bool, String) {
        let names = files.names();
        let mut arguments = vec!["verify", "--archive"];
        arguments.extend(names.iter().map(|name| name.to_str().expect("text")));
        self.audit(&arguments, own)
    }

    /// `web audit archive`, which may be killed.
    fn begin_archiving(&self, storage: &Storage) -> Service {
        let mut variables = self.settings.web();
        variables.extend(storage.variables().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let program = binaries().path("web").expect("web").to_owned();
        let arguments = ["audit", "archive"].map(str::to_owned).to_vec();
        let show = Arc::new(|_: &str| ());
        let start = Start { name: "archiving", program: &program, arguments, variables, port: 0, show };
        Service::start(start).expect("it starts")
    }
}

/// Objects of the archive, fetched into a folder that goes with this.
struct Files(PathBuf);

impl Files {
    fn fetch(storage: &Storage, tenant: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("archive-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&folder).expect("a folder");
        for (path, text) in storage.objects() {
            if let Some(name) = path.strip_prefix(&format!("audit/audit/{tenant}/")) {
                fs::write(folder.join(name), text).expect("a file");
            }
        }
        Self(folder)
    }

    fn names(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The places of a tenant's entries in the archive, object by object.
fn places(storage: &Storage, tenant: &str) -> Vec<Vec<i64>> {
    let of_line =
        |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["place"].as_i64().expect("a place");
    let folder = format!("audit/audit/{tenant}/");
    let mut all: Vec<Vec<i64>> = storage
        .objects()
        .iter()
        .filter(|(path, _)| path.starts_with(&folder))
        .map(|(_, text)| text.lines().map(of_line).collect())
        .collect();
    all.sort();
    all
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).expect("text"))).expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_archived_stays_and_an_operator_reads_what_to_do() {
    let app = TestApp::start().await;
    app.log_of("T1", 5, 2);
    let (well, told) = app.audit(&["archive"], &[("SUPABASE_URL", "http://supabase.example")]);
    assert!(!well && told.contains("AUDIT_ARCHIVE_BUCKET is not set: there is no archive"), "{told}");
    let (well, told) =
        app.audit(&["archive"], &[("AUDIT_ARCHIVE_BUCKET", "audit"), ("SUPABASE_URL", "http://a.b")]);
    assert!(!well && told.contains("SUPABASE_URL does not begin with https://"), "{told}");
    assert!(told.contains("SUPABASE_SERVICE_KEY is not set"), "{told}");

    let storage = Storage::start().await;
    let wrong_key =
        [storage.variables()[0], ("SUPABASE_SERVICE_KEY", "sb_secret_wrong"), storage.variables()[2]];
    let (well, told) = app.audit(&["archive"], &wrong_key);
    assert!(
        !well && told.contains("answered 403 (Invalid Compact JWS); look whether SUPABASE_SERVICE_KEY"),
        "{told}"
    );
    assert!(!told.contains("sb_secret_wrong"), "{told}");
    let nothing = r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}"#;
    for (status, body, advice) in [
        (403, r#"{"message":"no"}"#, "answered 403 (no); look whether SUPABASE_SERVICE_KEY"),
        (400, nothing, "answered 404 (Bucket not found); make a private bucket"),
        (500, "<html>", "answered 500 (no more is said); it is tried again"),
        (413, "", "answered 413 (no more is said); look into the project's Storage log"),
    ] {
        storage.set(Mood::Fails(status, body));
        let (well, told) = app.audit(&["archive"], &storage.variables());
        assert!(!well && told.contains(advice) && told.contains("nothing is lost"), "{status}: {told}");
        assert!(!told.contains(KEY), "{told}");
    }
    // What is due is not removed either, round after round.
    let days = ("AUDIT_RETENTION_DAYS", "30");
    storage.set(Mood::Fails(500, ""));
    let own: Vec<_> = storage.variables().into_iter().chain([days]).collect();
    let web = app.keep_audit(&own);
    says(&web, "the audit log was not archived; nothing is lost").await;
    let unanswered =
        [("SUPABASE_URL", "http://127.0.0.1:9"), storage.variables()[1], storage.variables()[2], days];
    let other = app.keep_audit(&unanswered);
    says(&other, "Supabase Storage did not answer").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.places("T1"), "1-7 of 7");
    assert!(storage.objects().is_empty());
    let logs = format!("{}{}", web.lines().join("\n"), other.lines().join("\n"));
    assert!(!logs.contains(KEY) && !logs.contains("tells why"), "{logs}");

    // It comes to it by itself once Storage is well, and a tenant of which all is fresh waits for the day to end.
    app.log_of("T2", 0, 3);
    storage.set(Mood::Well);
    let _web = app.keep_audit(&own);
    app.becomes("select count(*) from audit_log where tenant_id = 'T1'", "2").await;
    assert_eq!(places(&storage, "T1"), [(1..=7).collect::<Vec<i64>>()]);
    assert!(places(&storage, "T2").is_empty());
    assert_eq!(app.verify_audit(None).1.matches("unbroken").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archiving_that_is_killed_half_way_doubles_nothing() {
    let app = TestApp::start().await;
    let storage = Storage::start().await;
    app.log_of("T1", 500, 0);
    for _ in 0..11 {
        app.log_of("T2", 500, 0);
    }
    app.log_of("t/..?", 1, 1);
    storage.set(Mood::Hangs);
    for _ in 0..3 {
        let sent = storage.puts().len();
        let mut archiving = app.begin_archiving(&storage);
        let begun = Instant::now();
        while storage.puts().len() == sent {
            assert!(begun.elapsed() < PATIENCE, "{}", archiving.last_lines(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        archiving.kill().expect("it is killed");
        // More comes between.
        app.log_of("T1", 0, 10);
    }
    assert_eq!(app.database.ask("select archived_place from audit_chains where tenant_id = 'T1'"), "0");
    storage.set(Mood::Well);
    let (well, told) = app.audit(&["archive"], &storage.variables());
    assert!(well && told.contains("T1: 530 entries archived."), "{told}");
    assert_eq!(app.audit(&["archive"], &storage.variables()), (true, "All is archived.\n".to_owned()));
    let spans = |tenant: &str| -> Vec<(i64, i64)> {
        let all = places(&storage, tenant);
        assert!(
            all.iter().all(|piece| piece.iter().copied().eq(piece[0]..=piece[piece.len() - 1])),
            "{all:?}"
        );
        all.iter().map(|piece| (piece[0], piece[piece.len() - 1])).collect()
    };
    assert_eq!(spans("T1"), [(1, 500), (501, 530)]);
    assert_eq!(spans("T2"), [(1, 5_000), (5_001, 5_500)]);
    let first = "audit/audit/T1/1-500.ndjson";
    assert_eq!(storage.puts().iter().filter(|path| *path == first).count(), 4, "{:?}", storage.puts());
    assert_eq!(storage.objects().len(), 5);
    assert!(storage.objects().contains_key("audit/audit/t=2f=2e=2e=3f/1-2.ndjson"), "no id leads elsewhere");
    let (well, told) = app.verify_files(&Files::fetch(&storage, "T1"), &[]);
    assert!(
        well && told.matches("unbroken").count() == 2 && told.contains("501-530.ndjson: joins"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_has_what_was_removed_and_is_verified_by_itself_and_with_the_rest() {
    let app = TestApp::start().await;
    let storage = Storage::start().await;
    app.log_of(TEAM, 6, 0);
    assert!(app.audit(&["archive"], &storage.variables()).0);
    app.log_of(TEAM, 4, 0);
    app.install().await;
    let cookie = app.sign_in(ADA).await;
    let own: Vec<_> = storage.variables().into_iter().chain([("AUDIT_RETENTION_DAYS", "30")]).collect();
    let _web = app.keep_audit(&own);
    app.becomes("select count(*) from audit_log where tenant_id = 'T0ACME'", "2").await;
    let behind = "behind 10 that were removed when they were old enough";
    let unbroken = format!("{TEAM}: unbroken, 2 entries, {behind}\n");
    assert_eq!(app.verify_audit(Some(TEAM)), (true, unbroken));
    let page = app.get("/dashboard/audit?verify=1", Some(&cookie)).await.text().await.expect("text");
    assert!(page.contains("10 older ones were removed when they were old enough"), "{page}");
    assert_eq!(places(&storage, TEAM), [(1..=6).collect::<Vec<i64>>(), (7..=12).collect()]);
    let alone = [("DATABASE_URL", "")];
    let whole = |own: &[(&str, &str)]| {
        let (well, told) = app.verify_files(&Files::fetch(&storage, TEAM), own);
        assert!(well && told.matches("unbroken").count() == 2, "{told}");
        told
    };
    assert!(whole(&alone).contains("Nothing was compared with a database."));
    assert!(whole(&[]).contains("7-12.ndjson: joins what is in the database"));

    type Change = fn(&Files);
    let deeds: [(&str, Change); 8] = [
        ("entry 3 was changed", |files| {
            edit(&files.path("1-6.ndjson"), |text| text.replace("\"n\": 3", "\"n\": 4"))
        }),
        ("entry 9 was changed", |files| {
            edit(&files.path("7-12.ndjson"), |text| text.replacen("é\\\\3", "é\\\\9", 1))
        }),
        ("entry 2 is missing", |files| edit(&files.path("1-6.ndjson"), |text| without(&text, 1))),
        ("entries 6 to 6 were cut off", |files| edit(&files.path("1-6.ndjson"), |text| without(&text, 5))),
        ("entry 2 is missing", |files| {
            edit(&files.path("1-6.ndjson"), |text| {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.swap(1, 2);
                lines.join("\n")
            });
        }),
        ("line 2 is no entry", |files| {
            edit(&files.path("7-12.ndjson"), |text| text.replacen("\n{", "\n{\"more\":1,", 1))
        }),
        ("7-12.ndjson: BROKEN: it does not join", |files| {
            edit(&files.path("1-6.ndjson"), |text| chained_anew(&text, ""))
        }),
        ("it has entries that are in", |files| {
            fs::copy(files.path("7-12.ndjson"), files.path("again.ndjson")).expect("a copy");
        }),
    ];
    for (found, change) in deeds {
        let files = Files::fetch(&storage, TEAM);
        change(&files);
        let (well, told) = app.verify_files(&files, &alone);
        assert!(!well && told.contains("BROKEN") && told.contains(found), "{found}: {told}");
    }
    // A forger who knows the rule gets as far as to what the database has.
    let files = Files::fetch(&storage, TEAM);
    let last = |name: &str| {
        let text = fs::read_to_string(files.path(name)).expect("text");
        let line: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        line["hash"].as_str().expect("a digest").to_owned()
    };
    edit(&files.path("1-6.ndjson"), |text| chained_anew(&text, ""));
    let joint = last("1-6.ndjson");
    edit(&files.path("7-12.ndjson"), |text| chained_anew(&text, &joint));
    assert!(app.verify_files(&files, &alone).0, "alone they are a chain");
    let (well, told) = app.verify_files(&files, &[]);
    assert!(
        !well && told.contains("7-12.ndjson: BROKEN: it does not join what is in the database"),
        "{told}"
    );

    // A log that was tampered with is no archive.
    app.database.ask("update audit_log set actor = 'U0MALLORY' where place = 12");
    app.database.ask("update audit_chains set archived_place = 10, archiving_place = null");
    let before = storage.objects();
    let (well, told) = app.audit(&["archive"], &storage.variables());
    assert!(!well && told.contains("not as it was written (entry 12 was changed)"), "{told}");
    assert_eq!(storage.objects(), before);
}

/// A file without its line of that index.
fn without(text: &str, index: usize) -> String {
    let lines = text.lines().enumerate().filter(|(at, _)| *at != index);
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

/// The file of somebody who changes each entry and makes all digests anew, behind this one.
fn chained_anew(text: &str, previous: &str) -> String {
    let mut previous = previous.to_owned();
    let anew = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let at: chrono::DateTime<chrono::Utc> =
            line["created_at"].as_str().expect("a time").parse().expect("a time");
        let head = format!("[{}, {}, \"U0MALLORY\", {}, ", line["tenant_id"], line["place"], line["action"]);
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
