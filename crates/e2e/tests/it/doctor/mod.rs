//! `web doctor`: a correct deployment, each fault alone, and all faults in one run.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::cluster::{Cluster, ClusterOptions, Pooler, free_port};
use xtask::nginx::Nginx;
use xtask::redis::Redis;
use xtask::service::{Service, Variables};
use xtask::workspace;

use crate::fixtures::{TestDatabase, binaries};
use crate::test_app::{TEST_TIMEOUT, TestApp};
use faults::{DOCTOR_FAULTS, FaultCause};

/// A complete deployment behind nginx with TLS, and the folder with its two env files.
struct DoctorDeployment {
    app: TestApp,
    nginx: Nginx,
    redis: Redis,
    pooler: Pooler,
    _web: Service,
    files: [(&'static str, Variables); 2],
    folder: PathBuf,
    // Dropped after everything that connects to it.
    _cluster: Cluster,
}

impl DoctorDeployment {
    async fn start() -> Self {
        let folder = workspace::target().join(format!("test/doctor-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let options = ClusterOptions { fsync: true, is_ephemeral: true };
        let cluster = Cluster::start(&folder.join("postgres"), options).expect("Postgres starts");
        let redis = Redis::start().expect("Redis starts");
        let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
        let shared = |settings: &mut xtask::settings::StackSettings| settings.redis_url = Some(redis.url());
        let app =
            TestApp::start_on_database(TestDatabase::create_on_cluster(&cluster), shared, |_| {}, &[]).await;
        app.install().await;
        let port = free_port().expect("a port");
        let nginx = Nginx::write_config("one-host.conf", &[app.apis[0].port; 3], &[port; 2]);
        let nginx = nginx.and_then(Nginx::start).expect("nginx starts");
        let address = format!("https://localhost:{}/slack/oauth/callback", nginx.tls_port);
        let web = app.add_web_with(port, &[("SLACK_REDIRECT_URI", &address)]);
        let mut of_web = app.settings.web_variables();
        of_web.insert("SLACK_REDIRECT_URI".into(), address);
        let files = [(".env.web", of_web), (".env.api", app.settings.api_variables())];
        app.database.query("insert into backups (dump, bytes) values ('enablebot.dump', 1)");
        Self { app, nginx, redis, pooler, _web: web, files, folder, _cluster: cluster }
    }

    /// Runs the doctor with these variables changed.
    fn run_doctor(&self, changed: &[(&str, &str)]) -> DoctorReport {
        for (file, variables) in &self.files {
            let mut variables = variables.clone();
            for (name, value) in changed {
                let (place, name) = name.split_once('/').unwrap_or(("", name));
                if place == *file || (place.is_empty() && variables.contains_key(name)) {
                    variables.insert(name.to_owned(), self.fill_placeholders(value));
                }
            }
            let lines = variables.iter().map(|(name, value)| format!("{name}='{value}'\n"));
            fs::write(self.folder.join(file), lines.collect::<String>()).expect("a file");
        }
        let trusted = self.nginx.certificate_file();
        run_doctor_in(&self.folder, &[("SSL_CERT_FILE", &trusted.to_string_lossy())])
    }

    /// Applies or removes a fault. Returns the variables that it changes.
    fn apply_fault(&self, by: &FaultCause, is_broken: bool) -> &'static [(&'static str, &'static str)] {
        match by {
            FaultCause::Variables(changed) => return changed,
            FaultCause::Sql(broken, mended) => {
                self.app.database.query(&self.fill_placeholders(if is_broken { broken } else { mended }));
            }
            FaultCause::Redis(broken, mended) => {
                let command = if is_broken { broken } else { mended };
                let client = redis::Client::open(self.redis.url()).expect("an address");
                let mut connection = client.get_connection().expect("Redis answers");
                redis::cmd(command[0]).arg(&command[1..]).exec(&mut connection).expect("Redis does it");
            }
            FaultCause::Slack(broken, mended) => {
                (if is_broken { broken } else { mended })(&self.app.simulator)
            }
        }
        &[]
    }

    fn fill_placeholders(&self, text: &str) -> String {
        let database = self.app.database.name();
        text.replace("{database}", database).replace("{pooler}", &self.pooler.url(database))
    }
}

/// The result of a run.
struct DoctorReport {
    is_success: bool,
    /// Verdict, name and message of each check.
    lines: Vec<[String; 3]>,
    text: String,
}

fn run_doctor_in(folder: &Path, variables: &[(&str, &str)]) -> DoctorReport {
    let mut command = Command::new(binaries().path("web").expect("web"));
    command.args(["doctor", "--json"]).env_clear().current_dir(folder).envs(variables.iter().copied());
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let Ok(json) = serde_json::from_str::<Value>(&text) else {
        panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let word = |line: &Value, key: &str| line[key].as_str().expect("text").to_owned();
    let lines = json["checks"].as_array().expect("a list").iter();
    let lines = lines.map(|line| ["check", "verdict", "found"].map(|key| word(line, key))).collect();
    DoctorReport { is_success: output.status.success(), lines, text }
}

impl DoctorReport {
    /// Returns the checks with this verdict, and their messages.
    fn checks_with_verdict(&self, wanted: &str) -> BTreeMap<&str, String> {
        let mut found: BTreeMap<&str, String> = BTreeMap::new();
        for [check, _, words] in self.lines.iter().filter(|[_, verdict, _]| verdict == wanted) {
            found.entry(check).or_default().push_str(&format!("{words}\n"));
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_detects_each_fault_alone_and_combined() {
    let mut it = DoctorDeployment::start().await;
    let well = it.run_doctor(&[]);
    assert!(well.is_success && well.checks_with_verdict("fault").is_empty(), "{}", well.text);
    let warned = well.checks_with_verdict("warn");
    assert_eq!(warned.keys().copied().collect::<Vec<_>>(), [""; 0], "{}", well.text);

    for fault in DOCTOR_FAULTS {
        let changed = it.apply_fault(&fault.cause, true);
        let report = it.run_doctor(changed);
        it.apply_fault(&fault.cause, false);
        let found = report.checks_with_verdict("fault");
        assert!(!report.is_success);
        assert_eq!(
            found.keys().copied().collect::<Vec<_>>(),
            [fault.check],
            "{}\n{}",
            fault.expected_word,
            report.text
        );
        assert!(
            found[fault.check].contains(fault.expected_word),
            "no {:?} in {found:?}",
            fault.expected_word
        );
    }
    let mended = it.run_doctor(&[]);
    assert!(mended.is_success, "{}", mended.text);

    // Last, the faults that end the processes.
    it.nginx.renew_certificate(0).expect("nginx takes it");
    it.app.apis[0].kill().expect("it is killed");
    let begun = Instant::now();
    // A certificate with zero days is still valid in the second of its creation.
    while !it
        .run_doctor(&[])
        .checks_with_verdict("fault")
        .get("certificate")
        .is_some_and(|words| words.contains("expired"))
    {
        assert!(begun.elapsed() < TEST_TIMEOUT, "nginx does not show the certificate that has ended");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let changed: Vec<_> =
        DOCTOR_FAULTS.iter().flat_map(|fault| it.apply_fault(&fault.cause, true)).copied().collect();
    let report = it.run_doctor(&changed);
    DOCTOR_FAULTS.iter().for_each(|fault| {
        it.apply_fault(&fault.cause, false);
    });
    let found = report.checks_with_verdict("fault");
    // An unreachable Redis reports nothing about its memory, tokens that cannot be decrypted are not tested,
    // and a pooler keeps sessions with the previous settings.
    let hidden = ["noeviction", "account_inactive", "synchronous_commit is off"];
    let expected = DOCTOR_FAULTS.iter().filter(|fault| !hidden.contains(&fault.expected_word));
    let expected = expected.map(|fault| (fault.check, fault.expected_word));
    let ends = [("certificate", "expired"), ("public address", "returned 502")];
    for (check, word) in expected.chain(ends) {
        let words = found.get(check).map(String::as_str).unwrap_or_default();
        assert!(words.contains(word), "no {word:?} of {check}\n{}", report.text);
    }
    assert!(!report.is_success && found.len() > 15, "{}", report.text);
    it.assert_no_secret_in(&report);
}

impl DoctorDeployment {
    fn assert_no_secret_in(&self, report: &DoctorReport) {
        let names = ["ENCRYPTION_KEYS", "SESSION_SECRET", "SLACK_CLIENT_SECRET", "SLACK_SIGNING_SECRET"];
        let set =
            self.files.iter().flat_map(|(_, variables)| names.iter().filter_map(|name| variables.get(*name)));
        let changed = DOCTOR_FAULTS.iter().filter_map(|fault| match fault.cause {
            FaultCause::Variables([(name, value)]) if names.contains(name) => Some((*value).to_owned()),
            _ => None,
        });
        let token = self.app.simulator.installation("T0ACME").expect("it is installed").token;
        let secrets: BTreeSet<String> = set.cloned().chain(changed).chain([token]).collect();
        assert!(secrets.len() > 5);
        for secret in secrets {
            let key = secret.split_once(':').map_or(secret.as_str(), |(_, key)| key);
            assert!(!report.text.contains(key), "{key}");
        }
    }
}

#[test]
fn doctor_lists_missing_variables() {
    let folder = workspace::target().join(format!("test/doctor-empty-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let report = run_doctor_in(&folder, &[]);
    let found = report.checks_with_verdict("fault");
    for name in ["DATABASE_URL", "ENCRYPTION_KEYS", "SESSION_SECRET", "SLACK_CLIENT_ID", "SLACK_REDIRECT_URI"]
    {
        assert!(found["variables of web"].contains(&format!("{name} is not set")), "{}", report.text);
    }
    assert!(!report.is_success && found.contains_key("database"), "{}", report.text);
    for unseen in ["migrations", "row-level security", "queue", "replicas"] {
        assert!(report.checks_with_verdict("warn")[unseen].contains("skipped"), "{}", report.text);
    }
    fs::write(folder.join(".env.web"), "not a line of a file\n").expect("a file");
    let report =
        run_doctor_in(&folder, &[("SESSION_SECRET", "q83vEjRWeJq83vEjRWeJqk1uT2pXcZbLd5sGhYwKf0A=")]);
    let found = report.checks_with_verdict("fault");
    assert!(found["variables of web"].contains(".env.web cannot be read"), "{}", report.text);
    assert!(
        report.checks_with_verdict("ok").contains_key("session secret"),
        "the process has it: {}",
        report.text
    );
    fs::remove_dir_all(&folder).expect("it is removed");
}
