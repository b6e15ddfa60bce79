//! `docker/compose.yaml`: rules for each service, consistency between services, and a run with its settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Value, json};
use xtask::cluster::free_port;
use xtask::redis::Redis;
use xtask::service::{self, Service, ServiceSpec, Variables};
use xtask::settings::Secrets;
use xtask::{compose, workspace};

use crate::fixtures::{binaries, start_cluster};
use crate::test_app::TEST_TIMEOUT;

const COMPOSE_REPLICAS: [&str; 5] = ["api1", "api2", "api3", "web1", "web2"];

/// The maximum of database connections per replica by default: the pool, its overflow, and listeners.
const MAX_CONNECTIONS_PER_REPLICA: u64 = 20 + 30 + 2;

fn compose_services() -> BTreeMap<String, Value> {
    let file = compose::read(&compose::compose_file()).expect("it is read");
    serde_json::from_value(file["services"].clone()).expect("services")
}

fn read_root_file(name: &str) -> String {
    fs::read_to_string(workspace::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Returns the variables of an example file, and whether each must be filled in.
fn example_variables(example: &str) -> BTreeMap<String, bool> {
    let example = read_root_file(example);
    let lines = example.lines().filter_map(|line| line.split_once('='));
    let variables = lines.map(|(name, _)| (name.trim_start_matches('#').to_owned(), !name.starts_with('#')));
    let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    variables.filter(|(name, _)| is_name(name)).collect()
}

#[test]
fn compose_file_is_valid_and_typos_detected() {
    compose::check(&compose::compose_file()).expect("it is as the specification says");
    let wrong = workspace::target().join(format!("test/compose-{}.yaml", std::process::id()));
    let misspelt = fs::read_to_string(compose::compose_file())
        .expect("it is read")
        .replace("stop_grace_period", "grace");
    fs::write(&wrong, misspelt).expect("it is written");
    let refusal = compose::check(&wrong).expect_err("it is refused");
    assert!(!refusal.to_string().is_empty());
    fs::remove_file(wrong).expect("it is removed");
}

#[test]
fn compose_services_are_limited_and_unprivileged() {
    let services = compose_services();
    let others = ["migrate", "nginx", "postgres", "redis", "prometheus", "blackbox", "grafana"];
    let expected: BTreeSet<&str> = COMPOSE_REPLICAS.into_iter().chain(others).collect();
    assert_eq!(services.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for (name, service) in &services {
        assert_eq!((&service["read_only"], &service["cap_drop"]), (&json!(true), &json!(["ALL"])), "{name}");
        assert_eq!(list(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(
            names(&service["deploy"]["resources"]["limits"]),
            ["cpus", "memory", "pids"].into(),
            "{name}"
        );
        assert!(service["logging"]["options"]["max-size"].is_string(), "{name}");
        let restart = if name == "migrate" { "no" } else { "unless-stopped" };
        assert_eq!(service["restart"], restart, "{name}");
        // Our own images contain a health check.
        let looked_at = service["healthcheck"]["test"].is_array();
        assert_eq!(looked_at, !COMPOSE_REPLICAS.contains(&name.as_str()) && name != "migrate", "{name}");
        let may = if name == "nginx" { 5 } else { 0 };
        assert_eq!(list(&service["cap_add"]).len(), may, "{name}");
        let open: Vec<&str> = list(&service["ports"]);
        let open: Vec<&&str> = open.iter().filter(|port| !port.starts_with("127.0.0.1:")).collect();
        assert_eq!(open.is_empty(), name != "nginx", "{name} is open to the world: {open:?}");
    }
    for name in COMPOSE_REPLICAS {
        let grace = text(&services[name]["stop_grace_period"]).trim_end_matches('s').parse::<u64>();
        assert!(grace.expect("seconds") > 30, "{name} is killed while it drains");
    }
}

#[test]
fn compose_references_match() {
    let services = compose_services();
    for (name, service) in &services {
        let mounted = list(&service["volumes"]).into_iter().filter(|mount| mount.starts_with('.'));
        for mount in mounted {
            let path = workspace::root().join("docker").join(mount.split(':').next().expect("a path"));
            assert!(path.exists(), "{name} mounts {}", path.display());
            assert!(mount.ends_with(":ro"), "{name} may write to {mount}");
        }
        for needed in names(&service["depends_on"]) {
            assert!(services.contains_key(needed), "{name} waits for {needed}");
        }
    }
    let upstreams = read_root_file("deploy/nginx/upstreams.conf");
    let prometheus = read_root_file("deploy/prometheus/prometheus.yml");
    for name in COMPOSE_REPLICAS {
        let port = exposed_port(&name[..3]);
        assert!(upstreams.contains(&format!("server {name}:{port} ")), "nginx knows no {name}:{port}");
        assert!(prometheus.contains(&format!("\"{name}:{port}\"")), "Prometheus knows no {name}:{port}");
        assert_eq!(services[name]["hostname"], name);
        let waits = &services[name]["depends_on"]["migrate"]["condition"];
        assert_eq!(waits, "service_completed_successfully");
        let known = example_variables(&format!(".env.{}.example", &name[..3]));
        let told = names(&services[name]["environment"]);
        let unknown: Vec<_> = told.iter().filter(|variable| !known.contains_key(**variable)).collect();
        assert!(unknown.is_empty(), "{name} reads no {unknown:?}");
    }
    assert_eq!(upstreams.matches("server ").count(), COMPOSE_REPLICAS.len());
    assert_eq!(names(&services["nginx"]["depends_on"]), COMPOSE_REPLICAS.into());
    let allowed = list(&services["postgres"]["command"]).into_iter();
    let allowed = allowed.filter_map(|word| word.strip_prefix("max_connections=")?.parse::<u64>().ok());
    assert!(allowed.max() > Some(MAX_CONNECTIONS_PER_REPLICA * COMPOSE_REPLICAS.len() as u64));
}

/// Docker assigns the other addresses of the network, from a range without that of nginx.
#[test]
fn compose_trusts_nginx_alone() {
    let file = compose::read(&compose::compose_file()).expect("it is read");
    let filled = |value: &Value| compose::interpolate(text(value), &Variables::new()).expect("defaults");
    let nginx = filled(&file["services"]["nginx"]["networks"]["front"]["ipv4_address"]);
    for name in COMPOSE_REPLICAS {
        assert_eq!(filled(&file["services"][name]["environment"]["TRUSTED_PROXIES"]), nginx, "{name}");
    }
    let front = &file["networks"]["front"]["ipam"]["config"][0];
    let [subnet, range] =
        ["subnet", "ip_range"].map(|part| filled(&front[part]).parse::<IpNet>().expect(part));
    let nginx: IpAddr = nginx.parse().expect("an address");
    assert!(subnet.contains(&range) && subnet.contains(&nginx) && !range.contains(&nginx));
    assert_ne!(filled(&front["gateway"]), nginx.to_string());
}

/// Files that compose mounts for nginx, and the files that those include.
#[test]
fn nginx_includes_are_mounted() {
    let services = compose_services();
    let mounts = list(&services["nginx"]["volumes"]);
    let mounted: BTreeSet<&str> =
        mounts.iter().filter_map(|mount| mount.strip_suffix(":ro")?.rsplit(':').next()).collect();
    let mut named = BTreeSet::from(["/etc/nginx/conf.d/default.conf".to_owned()]);
    for mount in mounts.iter().filter(|mount| mount.starts_with("../")) {
        let text = read_root_file(mount.split(':').next().expect("a path").trim_start_matches("../"));
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let words = lines.flat_map(|line| line.trim_end_matches(';').split_whitespace().skip(1));
        let words = words.filter(|word| word.trim_start_matches("/etc/nginx/").starts_with("enablebot/"));
        named.extend(words.map(|word| format!("/etc/nginx/{}", word.trim_start_matches("/etc/nginx/"))));
    }
    assert_eq!(mounted, named.iter().map(String::as_str).collect());
}

#[test]
fn env_example_lists_required_variables() {
    let example = example_variables("docker/.env.example");
    let file = fs::read_to_string(compose::compose_file()).expect("it is read");
    let mut used = BTreeMap::new();
    for reference in compose::list_references(&file) {
        *used.entry(reference.name.to_owned()).or_insert(true) &= reference.default.is_none();
    }
    assert_eq!(used, example);
}

/// The script creates role and database, and both services run with compose's settings; only hosts and ports
/// differ.
#[test]
fn services_start_with_compose_environment() {
    let (cluster, redis) = (start_cluster("compose"), Redis::start().expect("Redis"));
    let secrets = Secrets::generate().expect("random bytes");
    let mut set: Variables = example_variables("docker/.env.example")
        .into_iter()
        .filter(|(_, is_to_be_filled_in)| *is_to_be_filled_in)
        .map(|(name, _)| (name, "0123456789abcdef".to_owned()))
        .collect();
    set.insert("ENCRYPTION_KEYS".into(), secrets.encryption_keys);
    set.insert("SESSION_SECRET".into(), secrets.session_secret);
    set.insert("SLACK_REDIRECT_URI".into(), "https://bot.example.com/slack/oauth/callback".into());

    let administrator = |arguments: &[&str]| {
        let mut psql = cluster.client("psql");
        psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", "postgres"]).args(arguments);
        psql.env("PGUSER", "postgres").env("DATABASE_PASSWORD", &set["DATABASE_PASSWORD"]);
        psql.env("DATABASE_OWNER_PASSWORD", &set["DATABASE_OWNER_PASSWORD"]);
        workspace::output(&mut psql).expect("the SQL runs")
    };
    administrator(&["--command", "drop role enablebot", "--command", "drop role enablebot_app"]);
    let script = workspace::root().join("docker/postgres.sql");
    administrator(&["--file", &script.to_string_lossy()]);
    let rights =
        "select rolsuper, rolcreaterole or rolcreatedb or rolbypassrls or rolinherit, rolpassword is not null
                  from pg_authid where rolname ~ '^enablebot' order by rolname";
    assert_eq!(administrator(&["-At", "--command", rights]).trim_end(), "f|t|t\nf|f|t");

    let services = compose_services();
    let told = |name: &str, port: u16| -> Variables {
        let environment = services[name]["environment"].as_object().expect("variables");
        let mut variables: Variables = environment
            .iter()
            .map(|(name, value)| {
                (name.clone(), compose::interpolate(text(value), &set).expect("it is filled in"))
            })
            .map(|(name, value)| {
                (name, value.replace("@postgres:5432", &format!("@127.0.0.1:{}", cluster.port())))
            })
            .map(|(name, value)| (name, value.replace("redis://redis:6379", &redis.url())))
            .collect();
        variables.insert("PORT".into(), port.to_string());
        variables
    };
    let web = binaries().path("web").expect("web");
    let command = list(&services["migrate"]["command"]);
    service::run_command(web, &command, &told("migrate", 1)).expect("it migrates");
    for name in ["api1", "web1"] {
        let (port, program) =
            (free_port().expect("a port"), binaries().path(&name[..3]).expect("it is built"));
        let start = ServiceSpec {
            name,
            program,
            arguments: Vec::new(),
            variables: told(name, port),
            port,
            log_sink: Arc::new(|_| ()),
        };
        let mut replica = Service::start(start).expect("it starts");
        replica.wait_until_ready("/health/ready", TEST_TIMEOUT).expect("it gets ready");
        let ready = xtask::http::send_request(port, "GET", "/health/ready", &[], "").expect("an answer");
        assert!(ready.body.contains(r#""redis":"ok""#), "{}", ready.body);
        assert!(!ready.body.contains("database_role"), "the role may more than it needs: {}", ready.body);
    }
}

/// Returns the port that an image exposes.
fn exposed_port(service: &str) -> u16 {
    let file = read_root_file(&format!("docker/Dockerfile.{service}"));
    let port = file.lines().find_map(|line| line.strip_prefix("EXPOSE "));
    port.expect("a port").parse().expect("a number")
}
