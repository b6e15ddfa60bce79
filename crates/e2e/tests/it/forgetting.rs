//! Forgetting a person: no column of any table holds them afterwards, and nothing writes of them again. What is
//! stored of a person is in `crates/db/personal_data.csv`.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;
use serde_json::{Value, json};
use xtask::workspace;

use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

/// Columns that keep who acted, and why: see `crates/db/personal_data.csv`.
const KEPT_COLUMNS: [&str; 2] = ["audit_log.actor", "audit_log.detail"];

const COLUMNS_SQL: &str = "
    select c.relname || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and a.attnum > 0 and not a.attisdropped and c.relname <> '_sqlx_migrations'
    order by 1";

/// A line of `personal_data.csv`.
struct ColumnEntry {
    name: String,
    holds: String,
    exported: String,
    forgotten: String,
    backups: String,
}

fn load_matrix() -> Vec<ColumnEntry> {
    let csv = fs::read_to_string(workspace::root().join("crates/db/personal_data.csv")).expect("the matrix");
    let entry = |line: &str| {
        let [table, column, holds, exported, forgotten, backups] = line.split(',').collect::<Vec<_>>()[..]
        else {
            panic!("not six fields: {line}")
        };
        let [holds, exported, forgotten, backups] = [holds, exported, forgotten, backups].map(str::to_owned);
        ColumnEntry { name: format!("{table}.{column}"), holds, exported, forgotten, backups }
    };
    csv.lines().skip(1).map(entry).collect()
}

impl TestApp {
    /// Returns the columns in which a pattern occurs, of all tables; encrypted ones are opened.
    fn find_columns(&self, pattern: &str) -> BTreeSet<String> {
        let columns =
            self.database.query(&COLUMNS_SQL.replace("attname from", "attname, atttypid::regtype from"));
        let searches = columns.lines().map(|line| {
            let (name, kind) = line.split_once('|').expect("a type");
            let (table, column) = name.split_once('.').expect("a table");
            let text = match kind {
                "bytea" => format!("encode({column}, 'escape')"),
                _ => format!("{column}::text"),
            };
            format!("select '{name}' where exists (select from {table} where {text} ~ '{pattern}')")
        });
        let found = self.database.query(&searches.collect::<Vec<_>>().join(" union all "));
        let wanted = Regex::new(&pattern.replace("\\m", "\\b").replace("\\M", "\\b")).expect("a pattern");
        let opened = self.decrypt_all_texts().into_iter().filter(|(_, _, text)| wanted.is_match(text));
        let opened: Vec<String> = opened.map(|(_, column, _)| column).collect();
        found.lines().map(str::to_owned).chain(opened).collect()
    }

    /// Has Ada leave something in every table. Returns her cookie.
    async fn fill_tables_for_ada(&self) -> String {
        let dm = self.dm(ADA);
        self.simulator.set_model_options("ttft=0&gap=0");
        let ts = self.send_dm(ADA, None, "say: The heron nests.");
        let reply = self.wait_replies(&dm, &ts, 1).await.remove(0);
        let event = self.find_event_id(&ts);
        let value = format!("positive:{event}");
        let clicked = self.simulator.click(TEAM, ADA, &dm, &reply.ts, "feedback", Some(&value)).await;
        assert_eq!(clicked.expect("there is a button"), 200);
        let asked = self.post(ADA, "general", None, "@bot say: The heron flies.");
        self.wait_reply("general", &asked).await;
        // A dead letter, which keeps its text.
        self.simulator.set_model_options("ttft=0&gap=0&fail=400");
        let lost = self.send_dm(ADA, None, "say: The heron is lost.");
        self.wait_replies(&dm, &lost, 1).await;
        assert_eq!(self.database.query("select count(body) from events where outcome = 'set_aside'"), "1");
        self.simulator.set_model_options("ttft=0&gap=0");
        let key = self.create_api_key(ADA, &["chat", "people"]).await;
        let told = self.chat(&key, json!({ "message": "say: The heron calls.", "user_id": ADA })).await;
        let cookie = self.sign_in(ADA).await;
        self.save_settings(&cookie, &[("budget_told", ADA)]).await;
        let profile = [("name", "Ada"), ("role", "heron watcher"), ("department", ""), ("location", "")];
        let saved = self.send_form("/dashboard/people/me/profile", Some(&cookie), &profile).await;
        assert_eq!(saved.status(), 303);
        let export = self.send_form("/dashboard/data/export.tar", Some(&cookie), &[]).await;
        export.bytes().await.expect("the archive");
        self.wait_idle().await;
        let conversation = told["conversation_id"].as_str().expect("an id");
        self.insert_rare_rows(&dm, conversation);
        cookie
    }

    /// Inserts what is there for moments only, or only after days.
    fn insert_rare_rows(&self, dm: &str, conversation: &str) {
        self.database.query(&format!(
            "insert into event_history (seq, tenant_id, event_id, kind, channel_id, thread_ts, message_ts, user_id, attempts,
                 attempts_log, outcome, received_at, finished_at, reply_ts)
             values (900001, '{TEAM}', 'EvPast', 'message', '{dm}', '1.1', '1.1', '{ADA}', 2,
                 '[{{\"reason\": \"{ADA} in {dm}\"}}]', 'answered', now() - interval '3 days', now(), '1.2');
             insert into ignored_events (tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason)
             values ('{TEAM}', 'EvIgnored', '{dm}', '1.3', '{ADA}', 'duplicate', 'again');
             insert into reservations (seq, tenant_id, user_id, cost_micros, model)
             values (900002, '{TEAM}', '{ADA}', 5, 'offline');
             insert into chat_leases (tenant_id, conversation_id, lease, leased_until)
             values ('{TEAM}', '{conversation}', gen_random_uuid(), now() + interval '1 minute');
             insert into replies (seq, tenant_id, message_ts)
             select seq, tenant_id, '1.4' from events where outcome = 'set_aside' on conflict do nothing;
             insert into managers (tenant_id, user_id, granted_by) values ('{TEAM}', '{ADA}', '{ADA}');
             update people set viewed_channel_id = '{dm}' where user_id = '{ADA}'"
        ));
    }
}

#[test]
fn personal_data_matrix_lists_every_column() {
    let app = crate::isolation::migrated_database();
    let stored: BTreeSet<String> = app.query(COLUMNS_SQL).lines().map(str::to_owned).collect();
    let matrix = load_matrix();
    let listed: BTreeSet<String> = matrix.iter().map(|entry| entry.name.clone()).collect();
    let missing: Vec<_> = stored.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "add a line for {missing:?} to crates/db/personal_data.csv: what the column holds of a person (- for nothing), \
         whether their export has it (yes, or no: why), how it is forgotten (deleted, replaced, or kept: why), and how \
         long backups hold it. What is exported is read in db/person_export.rs and forgotten in db/forgetting.rs."
    );
    assert_eq!(
        listed.difference(&stored).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "these columns are gone"
    );
    for ColumnEntry { name, holds, exported, forgotten, backups } in &matrix {
        let nothing = [exported, forgotten, backups].iter().filter(|text| text.as_str() == "-").count();
        assert_eq!(nothing, if holds == "-" { 3 } else { 0 }, "{name}");
        let is_known = exported == "yes" || exported == "conversations" || exported.starts_with("no: ");
        assert!(holds == "-" || is_known, "{name} is exported {exported}");
        let is_known = ["deleted", "replaced", "kept: "].iter().any(|how| forgotten.starts_with(how));
        assert!(holds == "-" || is_known, "{name} is forgotten {forgotten}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_person_is_in_no_column() {
    let mut app = TestApp::installed().await;
    let cookie = app.fill_tables_for_ada().await;
    let dm = app.dm(ADA);
    let pattern = format!("{ADA}\\M|{dm}|\\mAda\\M|ada@|heron");

    // Everything that is exported can be found in the export.
    let export = app.send_form("/dashboard/people/me/export.json", Some(&cookie), &[]).await;
    let export: Value = export.json().await.expect("JSON");
    for entry in load_matrix().iter().filter(|entry| entry.exported == "yes") {
        let (table, column) = entry.name.split_once('.').expect("a table");
        let rows = export["records"][table].as_array().unwrap_or_else(|| panic!("{table} is not exported"));
        assert!(!rows.is_empty(), "the test leaves {table} out");
        assert!(rows.iter().all(|row| row.get(column).is_some()), "{} is not exported", entry.name);
    }
    assert!(export["conversations"].to_string().contains("The heron nests."), "{export}");
    assert!(export["records"]["sessions"].to_string().contains("ada@"), "{export}");

    // An event that was accepted and not moved yet, and one that waits.
    app.apis.clear();
    app.database.query(&format!(
        "insert into event_inbox (event_count, tenant_ids, event_ids, kinds, channel_ids, thread_tss, message_tss,
             client_msg_ids, user_ids, joined_bodies, body_starts, body_sizes, is_addressed)
         values (1, '{{{TEAM}}}', '{{EvInbox}}', '{{message}}', '{{{dm}}}', '{{7.1}}', '{{7.1}}', '{{m7}}', '{{{ADA}}}', 'the heron',
             '{{1}}', '{{9}}', '{{t}}')"
    ));
    let held = app.find_columns(&pattern);
    for entry in load_matrix().iter().filter(|entry| entry.name.ends_with("user_id") && entry.holds != "-") {
        assert!(held.contains(&entry.name), "{} holds nothing of her before: {held:?}", entry.name);
    }

    let forgotten = app.send_form("/dashboard/people/me/forget", Some(&cookie), &[]).await;
    assert_eq!(forgotten.headers()["location"], "/?done=forgotten");
    let mut left = app.find_columns(&pattern);
    left.retain(|column| !KEPT_COLUMNS.contains(&column.as_str()));
    assert_eq!(left, BTreeSet::new());
    let page = app.get_page("/dashboard", Some(&cookie)).await;
    assert!(page.headers()["location"].to_str().expect("text").starts_with("/login"), "she is signed out");
    let waited = "select outcome, reason from events where event_id = 'EvInbox'";
    assert_eq!(app.database.query(waited), "stopped|its author's data was deleted");
    assert_eq!(app.database.query("select count(*) from events where outcome = 'set_aside'"), "0");
    // She comes back as somebody new, and is not greeted again.
    app.add_api(app.settings.ports.api, &[]);
    let asked = app.send_dm(ADA, None, "say: Hello again.");
    assert_eq!(app.wait_reply(&dm, &asked).await, "Hello again.");
    assert_eq!(app.database.query("select count(*) from chat_memory where user_id = 'U0ADA'"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_ends_reply_in_work() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let (dm, admin) = (app.dm(GRACE), app.sign_in(ADA).await);
    let asked = app.send_dm(GRACE, None, "say: One.");
    app.wait_reply(&dm, &asked).await;
    // The model falls silent after some words.
    app.simulator.set_model_options("ttft=0&gap=10&stall=6");
    let asked = app.send_dm(GRACE, None, "say: The crane goes on and on and on.");
    app.wait_reply_started(&dm, &asked).await;
    let path = format!("/dashboard/people/{GRACE}/forget");
    assert_eq!(app.send_form(&path, Some(&admin), &[]).await.status(), 303);
    let ended = |world: &simulator::FakeSlack| {
        let thread = world.thread(TEAM, &dm, &asked);
        thread.iter().all(|message| !message.is_streaming).then_some(())
    };
    app.simulator.wait_for(ended, TEST_TIMEOUT).await.expect("the message in Slack ends");
    let used = "select string_agg(distinct user_id || ' ' || coalesce(channel_id, ''), ',') from usage";
    assert_eq!(app.database.query(used), "forgotten", "neither she nor her conversation");
    app.wait_for_query("select count(*) from threads where state = 'leased'", "0").await;
    let outcome =
        "select outcome, reason, user_id from events where kind = 'message' order by seq desc limit 1";
    assert_eq!(app.database.query(outcome), "stopped|its author's data was deleted|forgotten");
    assert_eq!(app.database.query("select count(*) from chat_memory"), "0");
    assert_eq!(app.database.query("select count(text) + count(partial_text) from replies"), "0");
    assert_eq!(app.database.query("select count(*) from people where user_id = 'U0GRACE'"), "0");
    // The thread's row goes with the next round of housekeeping.
    let kept = format!("select count(*) from threads where channel_id = '{dm}' and used_at > '-infinity'");
    assert_eq!(app.database.query(&kept), "0");
}
