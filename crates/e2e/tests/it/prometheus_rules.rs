//! A real Prometheus with the files of `deploy/prometheus` scrapes running services under load: every query
//! of a rule or panel has a result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;
use tokio::time::sleep;
use xtask::cluster::free_port;
use xtask::nginx::{HOST, Nginx};
use xtask::prometheus::{Prometheus, ScrapeTargets};
use xtask::redis::Redis;
use xtask::service::Service;

use crate::fixtures::TestDatabase;
use crate::prometheus_files::{GRAFANA_DASHBOARDS, dashboard_panels, documented_metrics, read_dashboard};
use crate::test_app::{ADA, GRACE, TestApp};

/// Prometheus scrapes every second; a rule that depends on another rule's series has it a second or two
/// later.
const PROMETHEUS_TIMEOUT: Duration = Duration::from_secs(180);

/// Two replicas of each service, Redis and nginx, all scraped by Prometheus.
struct MonitoredDeployment {
    app: TestApp,
    second_web: Service,
    prometheus: Prometheus,
    _nginx: Nginx,
    _redis: Redis,
}

impl MonitoredDeployment {
    /// Starts all but the second replica of `api`.
    async fn start() -> (Self, u16) {
        let redis = Redis::start().expect("Redis starts");
        let url = redis.url();
        let settings = |settings: &mut xtask::settings::StackSettings| settings.redis_url = Some(url);
        let simulated = |slack: &mut simulator::SimulatorSettings| slack.has_rate_limits = false;
        let app = TestApp::start_on_database(TestDatabase::create(), settings, simulated, &[]).await;
        let second_web = app.add_web(free_port().expect("a port"));
        let (api, second) = (app.apis[0].port, free_port().expect("a port"));
        let webs = [app.web.port, second_web.port];
        let nginx =
            Nginx::write_config("one-host.conf", &[api, second, second], &webs).and_then(Nginx::start);
        let nginx = nginx.expect("nginx starts");
        nginx.renew_certificate(2).expect("a certificate that ends soon");
        let authority = nginx.config_file("fullchain.pem");
        let address = format!("https://127.0.0.1:{}/health", nginx.tls_port);
        let targets = ScrapeTargets { api: &[api, second], web: &webs, public: (&address, &authority, HOST) };
        let prometheus = Prometheus::start(&targets).expect("Prometheus starts");
        (Self { app, second_web, prometheus, _nginx: nginx, _redis: redis }, second)
    }

    /// Produces every kind of measurement: a successful and a failed install, a sign-in, a dead letter, and a
    /// budget that is nearly and then completely used.
    async fn generate_every_metric(&self) {
        let app = &self.app;
        // Prometheus sees no increase of a counter that it has not seen at zero.
        self.wait_for_value("count(enablebot_installs_total{result=\"installed\"})", |webs| webs == 2.0)
            .await;
        app.install().await;
        self.break_tokens().await;
        assert_eq!(app.get_page("/slack/oauth/callback?code=c&state=forged", None).await.status(), 400);
        app.simulator.set_model_options("ttft=0&gap=0&fail=400");
        app.wait_replies(&app.dm(ADA), &app.send_dm(ADA, None, "say: Never."), 1).await;
        app.simulator.set_model_options("ttft=0&gap=0");
        let admin = app.sign_in(ADA).await;
        app.save_settings(&admin, &[("budget", "0.01")]).await;
        app.database.query("update usage set cost_micros = 10000");
        app.wait_reply(&app.dm(ADA), &app.send_dm(ADA, None, "say: Too dear.")).await;
        app.save_settings(&admin, &[("budget", "")]).await;
        app.database.query("update settings set budget_notified_at = now()");
    }

    /// Adds two workspaces: one whose token cannot be refreshed, since a lost replica holds the lock, and one
    /// whose token was revoked.
    async fn break_tokens(&self) {
        let app = &self.app;
        for (team, name, change) in [
            (
                "T0BETA",
                "Beta",
                "refresh_token = bot_token, token_expires_at = now() + interval '30 minutes',
                 refresh_lease = gen_random_uuid(), refresh_lease_until = now() + interval '1 hour'",
            ),
            ("T0GAMMA", "Gamma", "disabled_at = now(), disabled_reason = 'token_revoked'"),
        ] {
            app.simulator.add_team(team, name);
            app.install_in(team).await;
            app.database.query(&format!("update installations set {change} where tenant_id = '{team}'"));
        }
    }

    /// Runs until every query has a result.
    async fn run_load(&self, ended: &AtomicBool) {
        let app = &self.app;
        let (admin, key) = (app.sign_in(ADA).await, app.create_api_key(ADA, &["chat"]).await);
        let url = format!("{}/api/chat", app.apis[0].url());
        while !ended.load(Ordering::Relaxed) {
            app.send_dm(GRACE, None, "say: Under load.");
            app.get_page("/dashboard", Some(&admin)).await;
            app.http.get(self.second_web.url()).send().await.expect("web answers");
            let question = serde_json::json!({ "message": "say: From a program." });
            app.http.post(&url).bearer_auth(&key).json(&question).send().await.expect("api answers");
            sleep(Duration::from_millis(300)).await;
        }
        app.wait_idle().await;
    }

    /// Repeats these queries until each has a result.
    async fn wait_for_data(&self, mut queries: BTreeSet<String>) {
        let until = Instant::now() + PROMETHEUS_TIMEOUT;
        while !queries.is_empty() {
            queries.retain(|query| self.prometheus.list_values(query).is_err());
            assert!(Instant::now() < until, "no data for\n{queries:#?}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Repeats a query until its greatest value satisfies the predicate.
    async fn wait_for_value(&self, query: &str, is: impl Fn(f64) -> bool) {
        let until = Instant::now() + PROMETHEUS_TIMEOUT;
        loop {
            let greatest =
                self.prometheus.list_values(query).unwrap_or_default().into_iter().reduce(f64::max);
            if greatest.is_some_and(&is) {
                return;
            }
            assert!(Instant::now() < until, "{query} is {greatest:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Returns what rules record, and the queries of the recordings. Alerts use only recorded series and numbers.
fn recording_rule_queries(prometheus: &Prometheus) -> BTreeSet<String> {
    let data = prometheus.query_api("rules").expect("rules");
    let groups = data["groups"].as_array().expect("groups").iter();
    let rules: Vec<&Value> =
        groups.flat_map(|group| group["rules"].as_array().expect("rules").iter()).collect();
    let text = |rule: &Value, key: &str| rule[key].as_str().expect("text").to_owned();
    let (alerts, records): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule["type"] == "alerting");
    let names: BTreeSet<String> = records.iter().map(|rule| text(rule, "name")).collect();
    let series = Regex::new(r#"[a-z_]+:[a-z0-9_:]+(\{[a-z]+="[a-z]+"\})?"#).expect("a pattern");
    let word = Regex::new("[a-z_]{2,}").expect("a pattern");
    let mut queries: BTreeSet<String> = records.iter().map(|rule| text(rule, "query")).collect();
    for alert in &alerts {
        let query = text(alert, "query");
        for part in series.find_iter(&query).map(|part| part.as_str()) {
            let name = part.split('{').next().unwrap_or(part);
            assert!(names.contains(name), "{}: nothing records {name}", alert["name"]);
            // absent() is asked for series that exist only during a fault.
            queries.insert(part.to_owned());
        }
        let rest = series.replace_all(&query, "");
        let strange: Vec<&str> = word.find_iter(&rest).map(|word| word.as_str()).collect();
        assert!(strange.iter().all(|word| ["and", "or", "absent"].contains(word)), "{query}");
    }
    assert!(alerts.len() >= 20 && names.len() >= 30, "{} and {}", alerts.len(), names.len());
    queries
}

/// Returns the queries of the dashboards' panels and variables, as Grafana sends them with all replicas
/// selected.
fn dashboard_queries() -> BTreeSet<String> {
    let mut queries = BTreeSet::new();
    for name in GRAFANA_DASHBOARDS {
        let dashboard = read_dashboard(name);
        for target in dashboard_panels(&dashboard)
            .into_iter()
            .flat_map(|panel| panel["targets"].as_array().expect("queries"))
        {
            let query = target["expr"].as_str().expect("a query");
            // At least four times the scrape interval.
            let query = query.replace("$__rate_interval", "10s").replace("$instance", ".+");
            assert!(!query.contains('$'), "{query} has a variable that this test does not know");
            queries.insert(query);
        }
        let variable = dashboard["templating"]["list"][0]["query"]["query"].as_str().expect("a query");
        let series = variable.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(", instance)"));
        queries.insert(format!("count by (instance) ({})", series.expect("values of instance")));
    }
    queries
}

/// Returns our own metrics that Prometheus has seen, without the series that it derives from histograms.
fn exported_metrics(prometheus: &Prometheus) -> BTreeSet<String> {
    let names = prometheus.query_api("label/__name__/values").expect("names");
    let names = names.as_array().expect("names").iter().filter_map(Value::as_str);
    let own = names.filter(|name| name.starts_with("enablebot_"));
    let plain = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    own.map(plain).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_and_panel_has_data() {
    let (mut watched, second) = MonitoredDeployment::start().await;
    watched.generate_every_metric().await;
    // The new replica reads the figures of all workspaces at once, the first one only every half a minute.
    watched.app.add_api(second, &[]);
    watched.app.balance_events();
    let ended = Arc::new(AtomicBool::new(false));
    let asked = async {
        let queries: BTreeSet<String> =
            recording_rule_queries(&watched.prometheus).into_iter().chain(dashboard_queries()).collect();
        assert!(queries.len() > 80, "{}", queries.len());
        watched.wait_for_data(queries).await;
        watched.wait_for_value("enablebot:events:per_minute", |events| events > 1.0).await;
        ended.store(true, Ordering::Relaxed);
    };
    tokio::join!(asked, watched.run_load(&ended));

    for (query, expected) in [
        ("job:enablebot_up:sum", 2.0),
        ("enablebot:dead_letter_events:max", 1.0),
        ("enablebot:tokens:max{state=\"good\"}", 1.0),
        ("enablebot:tokens:max{state=\"unrefreshed\"}", 1.0),
        ("enablebot:tokens:max{state=\"dead\"}", 1.0),
        ("enablebot:budget_workspaces:max{state=\"near\"}", 1.0),
        ("enablebot:budget_workspaces:max{state=\"over\"}", 1.0),
        ("enablebot:dashboard_users:max", 1.0),
        ("instance:enablebot_public:success", 1.0),
        ("sum(enablebot_installs_total{result=\"installed\"})", 3.0),
        ("sum(enablebot_installs_total{result=\"bad_state\"})", 1.0),
    ] {
        watched.wait_for_value(query, |value| value == expected).await;
    }
    for query in ["instance:enablebot_memory:ratio", "enablebot:oauth_failures:ratio1h"] {
        watched.wait_for_value(query, |share| share > 0.0 && share < 1.0).await;
    }
    // CPU is counted in whole seconds, and these services may not have used one yet.
    watched.wait_for_value("instance:enablebot_cpu:ratio5m", |share| (0.0..1.0).contains(&share)).await;
    // The certificate is valid for two days.
    watched
        .wait_for_value("instance:enablebot_certificate_left:seconds", |left| {
            left > 86_400.0 && left < 172_801.0
        })
        .await;
    for alert in ["EventsDeadLettered", "TenantBudgetExhausted", "CertificateExpiryImminent"] {
        watched.wait_for_value(&format!("ALERTS{{alertname=\"{alert}\"}}"), |alert| alert == 1.0).await;
    }
    assert!(
        watched.prometheus.list_values("enablebot_no_such_metric").is_err(),
        "an unknown metric has no data"
    );
    assert_eq!(exported_metrics(&watched.prometheus), documented_metrics(), "the README lists what there is");

    watched.second_web.kill().expect("it is killed");
    watched.wait_for_value("ALERTS{alertname=\"ReplicaDown\"}", |alert| alert == 1.0).await;
    let data = watched.prometheus.query_api("rules").expect("rules");
    let faults: Vec<&Value> = data["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"))
        .filter(|rule| rule["health"] != "ok")
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
