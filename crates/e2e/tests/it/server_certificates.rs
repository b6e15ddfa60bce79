//! TLS to Postgres and Redis: a server that cannot be verified gets no password and no query.

use std::path::PathBuf;
use std::process::{Command, Output};

use xtask::cluster::SignedCertificate;
use xtask::redis::Redis;
use xtask::service::Variables;
use xtask::settings::{Ports, Secrets, StackSettings};
use xtask::workspace;

use crate::fixtures::{TestDatabase, binaries, start_cluster};
use crate::test_app::TestApp;

/// Leads to this machine, but counts as far away: it is neither a loopback nor a private address.
const FAR_ADDRESS: &str = "0.0.0.0";

fn certificate_folder(name: &str) -> PathBuf {
    workspace::target().join(format!("test/certificates-{name}-{}", std::process::id()))
}

/// Runs a command of `web` with these variables only.
fn run_web(command: &[&str], variables: &Variables, folder: &PathBuf) -> (bool, String) {
    let mut web = Command::new(binaries().path("web").expect("web"));
    web.args(command).env_clear().envs(variables).current_dir(folder);
    let Output { status, stdout, stderr } = web.output().expect("it runs");
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_certificate_is_verified_by_default() {
    let folder = certificate_folder("postgres");
    let names = format!("IP:{FAR_ADDRESS}");
    let signed = SignedCertificate::create(&folder.join("own"), &names).expect("openssl");
    let stranger = SignedCertificate::create(&folder.join("stranger"), &names).expect("openssl");
    let other_name = SignedCertificate::create(&folder.join("other"), "DNS:db.example.com").expect("openssl");
    let cluster = start_cluster("certificates");
    cluster.enable_tls(&signed).expect("Postgres takes it");
    let database = TestDatabase::create_on_cluster(&cluster);
    let far_url = database.url.replace("127.0.0.1", FAR_ADDRESS);
    assert_ne!(far_url, database.url);
    let settings = |url: &str| {
        let secrets = Secrets::generate().expect("random bytes");
        let ports = Ports::free().expect("free ports");
        StackSettings::simulated(ports, url.to_owned(), secrets).owner().web_variables()
    };
    let migrate = |url: &str, root: Option<&SignedCertificate>| {
        let mut variables = settings(url);
        variables
            .extend(root.map(|root| ("DATABASE_ROOT_CERT".to_owned(), root.root.to_string_lossy().into())));
        run_web(&["migrate"], &variables, &folder)
    };

    for untrusted in [migrate(&far_url, None), migrate(&far_url, Some(&stranger))] {
        assert!(!untrusted.0 && untrusted.1.contains("set DATABASE_ROOT_CERT"), "{untrusted:?}");
    }
    for trusted in [
        migrate(&far_url, Some(&signed)),
        migrate(&format!("{far_url}?sslmode=require"), None),
        migrate(&format!("{far_url}?sslmode=disable"), None),
        migrate(&database.url, Some(&stranger)),
    ] {
        assert!(trusted.0, "{trusted:?}");
    }
    let (is_success, told) = run_web(&["doctor"], &settings(&far_url), &folder);
    assert!(!is_success && told.contains("the database server could not be verified"), "{told}");

    // The services take the same way.
    let root = signed.root.to_string_lossy().into_owned();
    let mut variables = settings(&far_url);
    let missing = run_web(&[], &variables, &folder);
    assert!(!missing.0 && missing.1.contains("set DATABASE_ROOT_CERT"), "{missing:?}");
    variables.insert("DATABASE_ROOT_CERT".into(), root.clone());
    let (_, told) = run_web(&["doctor"], &variables, &folder);
    assert!(told.contains("encrypted, and the server's identity is verified"), "{told}");

    cluster.enable_tls(&other_name).expect("Postgres takes it");
    let refused = migrate(&far_url, Some(&other_name));
    assert!(!refused.0 && refused.1.contains("could not be verified"), "{refused:?}");
    cluster.set_tls(false).expect("Postgres does it");
    let refused = migrate(&far_url, Some(&signed));
    assert!(!refused.0 && refused.1.contains("could not be verified"), "{refused:?}");
    std::fs::remove_dir_all(folder).expect("it is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_certificate_is_verified() {
    let folder = certificate_folder("redis");
    let signed = SignedCertificate::create(&folder, "IP:127.0.0.1").expect("openssl");
    let root = signed.root.to_string_lossy().into_owned();
    let redis = Redis::start_with_tls(signed).expect("Redis starts");
    let app = TestApp::start().await;
    let mut variables = app.settings.web_variables();
    let mut doctor = |url: &str, trusted: Option<&str>| {
        variables.insert("REDIS_URL".into(), url.to_owned());
        variables.remove("SSL_CERT_FILE");
        variables.extend(trusted.map(|root| ("SSL_CERT_FILE".to_owned(), root.to_owned())));
        run_web(&["doctor"], &variables, &folder).1
    };
    let is_connected = |told: &str| told.contains("MiB in use");
    let (untrusted, trusted) = (doctor(&redis.url(), None), doctor(&redis.url(), Some(&root)));
    assert!(!is_connected(&untrusted) && untrusted.contains("cannot connect"), "{untrusted}");
    assert!(is_connected(&trusted), "{trusted}");
    let insecure = doctor(&format!("{}/#insecure", redis.url()), None);
    assert!(!is_connected(&insecure) && insecure.contains("ends with #insecure"), "{insecure}");
    std::fs::remove_dir_all(folder).expect("it is removed");
}
