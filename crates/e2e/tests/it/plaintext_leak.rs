//! A `pg_dump` of a used database contains no token, no key, and no message text.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;
use simulator::{NewFile, PostMessage, SimulatedUser};
use xtask::cluster::Cluster;
use xtask::settings::SIGNING_SECRET;
use xtask::workspace;

use crate::fixtures::{TestDatabase, start_cluster};
use crate::test_app::{ADA, GRACE, TEAM, TestApp};

/// Dumps the whole database in plain text.
fn pg_dump(cluster: &Cluster, database: &str) -> String {
    let mut command = cluster.client("pg_dump");
    workspace::output(command.args(["--format", "plain", "--dbname", database])).expect("it is dumped")
}

/// Returns the forms in which a value may appear in a dump: plain, in base64 at any offset, and each of these
/// in the hexadecimal of bytes.
fn find_encodings(value: &str, dump: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |form: String, written: String| {
        if dump.contains(&written) {
            found.push(form.clone());
        }
        if dump.contains(&hex::encode(&written)) {
            found.push(format!("{form} in hex"));
        }
    };
    look("plain".to_owned(), value.to_owned());
    for skipped in 0..3 {
        // Complete groups of three bytes.
        let bytes = &value.as_bytes()[skipped..];
        let bytes = &bytes[..bytes.len() / 3 * 3];
        look(format!("base64 behind {skipped}"), STANDARD_NO_PAD.encode(bytes));
        look(format!("base64url behind {skipped}"), URL_SAFE_NO_PAD.encode(bytes));
    }
    found
}

/// A shorter value may appear in bytes by chance.
const MIN_SECRET_LENGTH: usize = 9;

fn assert_no_secret_in_dump(dump: &str, secrets: &[(&str, String)]) {
    for (name, value) in secrets {
        assert!(value.len() >= MIN_SECRET_LENGTH, "{name} is too short to be looked for: {value}");
        assert_eq!(find_encodings(value, dump), Vec::<String>::new(), "the dump contains {name}: {value}");
    }
}

/// Returns the secret part of a session, state or key.
fn cookie_value(cookie: &str) -> String {
    cookie.split_once('=').expect("a cookie").1.split(';').next().expect("its value").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn database_dump_contains_no_plaintext() {
    let cluster = start_cluster("dump");
    let database = TestDatabase::create_on_cluster(&cluster);
    let name = database.name().to_owned();
    let rotating = |settings: &mut simulator::SimulatorSettings| {
        settings.token_lifetime = Some(Duration::from_secs(43_200));
        settings.has_rate_limits = false;
    };
    let app = TestApp::start_on_database(database, |_| {}, rotating, &[]).await;
    let hedy = SimulatedUser { id: "U0HEDY".into(), name: "Hedwig-Eva".into(), ..SimulatedUser::default() };
    app.simulator.add_person(TEAM, SimulatedUser { real_name: "Hedwig Kiesler-Markey".into(), ..hedy });
    app.install().await;
    let begun = app.begin_install().await;
    let ada = app.sign_in(ADA).await;
    let hedy = app.sign_in("U0HEDY").await;
    let key = app.create_api_key(ADA, &["chat", "people"]).await;
    let facts = [("facts", "We sell oolong in Lisbon."), ("instructions", "Never mention the badgers.")];
    app.save_settings(&ada, &facts).await;
    let own_key = "sk-good-and-own-1234";
    let kept = app.send_form("/dashboard/settings/model-key", Some(&ada), &[("model_key", own_key)]).await;
    assert_eq!(kept.status(), 303);
    let profile = [
        ("name", "Heddy of Vienna"),
        ("role", "Frequency hopper"),
        ("department", "Radio torpedoes"),
        ("location", "Hollywood hills"),
    ];
    app.simulator.set_model_options("ttft=0&gap=0");
    let ts = app.send_dm("U0HEDY", None, "say: The heron is a direct message.");
    app.wait_reply(&app.dm("U0HEDY"), &ts).await;
    let set = app.send_form("/dashboard/people/me/profile", Some(&hedy), &profile).await;
    assert_eq!(set.status(), 303);
    app.send_dm("U0HEDY", Some(&ts), "say: The heron goes on in it.");
    app.wait_replies(&app.dm("U0HEDY"), &ts, 2).await;
    let ts = app.post(GRACE, "general", None, "@bot say: The otter is in a channel.");
    app.wait_reply("general", &ts).await;
    let file = NewFile {
        name: "notes.txt".into(),
        content: "The badger was in a file.".into(),
        ..NewFile::default()
    };
    let message = app.new_message(GRACE, &app.dm(GRACE), None, "say: The file was read.");
    let ts = app.simulator.post(PostMessage { files: vec![file], ..message }).expect("Slack takes it");
    app.wait_reply(&app.dm(GRACE), &ts).await;
    let asked = json!({ "message": "say: The weasel asks by program.", "user_id": "U0HEDY" });
    app.chat(&key, asked).await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=400");
    app.send_dm(ADA, None, "The marten is set aside.");
    app.wait_for_query("select count(*) from events where outcome = 'set_aside'", "1").await;
    // One reply fails half-way and is completed after the dump.
    app.simulator.set_model_options("ttft=0&gap=0&cut=6");
    let said = "The ferret goes on and on until it is dumped, and behind that goes on for many a word.";
    app.send_dm(GRACE, None, &format!("say: {said}"));
    app.wait_for_query("select count(*) from replies where partial_text is not null", "1").await;
    let half_way = pg_dump(&cluster, &name);
    app.simulator.set_model_options("ttft=0&gap=0");
    app.wait_idle().await;
    let export = app.send_form("/dashboard/data/export.tar", Some(&ada), &[]).await;
    assert!(export.bytes().await.expect("all of it").len() > 10_000);
    let export = app.send_form("/dashboard/people/me/export.json", Some(&hedy), &[]).await;
    let export = export.text().await.expect("text");
    assert!(export.contains("The heron is a direct message."), "{export}");

    let installed = app.simulator.installation(TEAM).expect("it is installed");
    let secrets = &app.settings.secrets;
    let master_key = secrets.encryption_keys.split_once(':').expect("an id and a key").1;
    let mut values: Vec<(&str, String)> = vec![
        ("the bot token", installed.token),
        ("the refresh token", installed.refresh_token.expect("tokens rotate")),
        ("the signing secret", SIGNING_SECRET.into()),
        ("the client secret", app.settings.web_variables()["SLACK_CLIENT_SECRET"].clone()),
        ("the API key", key.clone()),
        ("the API key behind its prefix", key[3..].into()),
        ("a session", cookie_value(&ada)),
        ("another session", cookie_value(&hedy)),
        ("the cookie of an install", cookie_value(&begun.cookie)),
        ("the model's key", own_key.into()),
        ("the master key", master_key.into()),
        ("the session secret", secrets.session_secret.clone()),
        ("a name", "Hedwig Kiesler-Markey".into()),
        ("a display name", "Hedwig-Eva".into()),
        ("an email", "hedwig-eva@example.com".into()),
        ("another email", "ada@example.com".into()),
    ];
    values.extend(profile.iter().chain(&facts).map(|(name, value)| (*name, (*value).to_owned())));
    for words in [
        "heron is a direct",
        "heron goes on",
        "otter is in a channel",
        "file was read",
        "badger was in a file",
        "weasel asks by",
        "marten is set aside",
        "ferret goes on",
    ] {
        values.push(("what was said", words.into()));
    }
    let whole = pg_dump(&cluster, &name);
    for (dump, is_done) in [(&half_way, false), (&whole, true)] {
        assert_no_secret_in_dump(dump, &values);
        // The dump is of this database and contains everything that is not secret.
        assert!(dump.contains(TEAM) && dump.contains("U0HEDY") && dump.contains("CREATE TABLE"));
        assert_eq!(dump.contains("data_exported"), is_done);
    }
    for table in
        ["chat_memory", "events", "replies", "sessions", "settings", "people", "api_keys", "installations"]
    {
        assert_ne!(app.database.query(&format!("select count(*) from {table}")), "0", "{table} was not used");
    }

    // The search would find each form of a value that is stored in plain text.
    for (_, value) in &values {
        let in_base64 = |before: &str| STANDARD_NO_PAD.encode(format!("{before}{value}, and more"));
        for (stored, form) in [
            (format!("'{value}'"), "plain"),
            (format!("'x{value}'::bytea"), "plain in hex"),
            (format!("'{}'", in_base64("")), "base64 behind 0"),
            (format!("'{}'", in_base64("x")), "base64 behind 2"),
            (format!("'{}'", in_base64("xy")), "base64 behind 1"),
            (format!("'{}'::bytea", in_base64("xyz")), "base64 behind 0 in hex"),
        ] {
            let shown = app.database.query(&format!("select {stored}"));
            assert!(
                find_encodings(value, &shown).iter().any(|found| found == form),
                "{value}: {form}: {shown}"
            );
        }
    }
    app.database.query(&format!(
        "create table scratch (words text, bytes bytea); insert into scratch values ('{0}', null), (null, '{0}')",
        values[0].1
    ));
    assert_eq!(find_encodings(&values[0].1, &pg_dump(&cluster, &name)), ["plain", "plain in hex"]);
}
