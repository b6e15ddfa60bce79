//! Attacks from outside on both services: too many requests, too much data, malformed input, forged identity.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use xtask::cluster::free_port;
use xtask::redis::Redis;

use crate::fixtures::TestDatabase;
use crate::test_app::{ADA, TEST_TIMEOUT, TestApp};

/// The limit of one address per minute.
const MAX_ATTEMPTS_PER_MINUTE: usize = 30;

/// Starts an app with the default limits of a deployment.
async fn start_with_default_limits(redis: Option<&Redis>) -> TestApp {
    let url = redis.map(Redis::url);
    let reached = |settings: &mut xtask::settings::StackSettings| {
        settings.redis_url = url;
        settings.is_rate_limit_off = false;
    };
    TestApp::start_on_database(TestDatabase::create(), reached, |_| {}, &[]).await
}

impl TestApp {
    /// Requests a page as a proxy on this machine forwards it.
    async fn get_via_proxy(&self, web: &str, path: &str, forwarded_for: &str) -> Response {
        let request = self.http.get(format!("{web}{path}")).header("x-forwarded-for", forwarded_for);
        request.send().await.expect("web answers")
    }

    async fn post_chat_via_proxy(&self, key: &str, forwarded_for: &str) -> Response {
        let request = self.http.post(format!("{}/api/chat", self.apis[0].url())).bearer_auth(key);
        let request =
            request.header("x-forwarded-for", forwarded_for).json(&json!({ "message": "say: Hi." }));
        request.send().await.expect("api answers")
    }
}

fn retry_after_seconds(answer: &Response) -> u64 {
    answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds")
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_and_installs_are_limited_by_address() {
    let redis = Redis::start().expect("Redis starts");
    let app = start_with_default_limits(Some(&redis)).await;
    let other = app.add_web(free_port().expect("a port"));
    let replicas = [app.web.url(), other.url()];
    let paths = ["/login", "/slack/install"];
    for number in 0..MAX_ATTEMPTS_PER_MINUTE {
        let made_up = format!("198.51.100.{number}, 203.0.113.7");
        let answer = app.get_via_proxy(&replicas[number % 2], paths[number % 2], &made_up).await;
        assert_eq!(answer.status(), 302, "{number}");
    }
    for (replica, path) in
        [(0, "/login"), (1, "/slack/install"), (0, "/login/callback"), (1, "/slack/oauth/callback")]
    {
        let refused = app.get_via_proxy(&replicas[replica], path, "203.0.113.7").await;
        assert_eq!((refused.status().as_u16(), retry_after_seconds(&refused) <= 60), (429, true), "{path}");
        assert!(refused.text().await.expect("text").contains("Wait a minute"), "{path}");
    }
    assert_eq!(app.get_via_proxy(&replicas[0], "/", "203.0.113.7").await.status(), 200);
    assert_eq!(
        app.get_via_proxy(&replicas[0], "/login", "203.0.113.8").await.status(),
        302,
        "another address"
    );

    for host in 0..MAX_ATTEMPTS_PER_MINUTE {
        let answer = app.get_via_proxy(&replicas[0], "/login", &format!("2001:db8:0:1::{host:x}")).await;
        assert_eq!(answer.status(), 302, "{host}");
    }
    assert_eq!(app.get_via_proxy(&replicas[1], "/login", "2001:db8:0:1:ffff::1").await.status(), 429);
    assert_eq!(app.get_via_proxy(&replicas[1], "/login", "2001:db8:0:2::1").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_guesses_are_limited_by_address() {
    let app = start_with_default_limits(None).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let key = app.create_api_key(ADA, &["chat"]).await;
    assert_eq!(app.post_chat_via_proxy(&key, "203.0.113.7").await.status(), 200);
    let guess = |number: usize| format!("eb_{number:043}");
    for number in 0..MAX_ATTEMPTS_PER_MINUTE {
        assert_eq!(app.post_chat_via_proxy(&guess(number), "203.0.113.7").await.status(), 401, "{number}");
    }
    for _ in 0..2 {
        let refused = app.post_chat_via_proxy(&guess(MAX_ATTEMPTS_PER_MINUTE), "203.0.113.7").await;
        assert_eq!((refused.status().as_u16(), retry_after_seconds(&refused) <= 60), (429, true));
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let problem: Value = refused.json().await.expect("JSON");
        assert!(problem["detail"].as_str().expect("text").starts_with("Too many invalid keys"), "{problem}");
    }
    assert_eq!(app.post_chat_via_proxy(&key, "203.0.113.7").await.status(), 200);
    assert_eq!(
        app.post_chat_via_proxy(&guess(MAX_ATTEMPTS_PER_MINUTE), "203.0.113.8").await.status(),
        401,
        "another address"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_request_ids_are_replaced() {
    let app = TestApp::start().await;
    let longest = "a".repeat(64);
    for service in [&app.web, &app.apis[0]] {
        let answered_id = async |id: &str| {
            let request = app.http.get(format!("{}/health", service.url())).header("x-request-id", id);
            let answer = request.send().await.expect("an answer");
            answer.headers()["x-request-id"].to_str().expect("plain text").to_owned()
        };
        for id in ["7f3a-B", &longest] {
            assert_eq!(answered_id(id).await, id);
        }
        for id in ["", "a b", "a_b", "a\"b", "a;level=error", &format!("{longest}a")] {
            let given = answered_id(id).await;
            assert!(given != id && uuid::Uuid::parse_str(&given).is_ok(), "{id:?} became {given:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_have_security_headers() {
    let app = TestApp::installed().await;
    let cookie = app.sign_in(ADA).await;
    for path in [
        "/",
        "/none",
        "/login",
        "/login/callback",
        "/dashboard",
        "/assets/none",
        "/logout",
        "/health",
        "/metrics",
    ] {
        for cookie in [None, Some(cookie.as_str())] {
            let answer = app.get_page(path, cookie).await;
            let header = |name: &str| {
                answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
            };
            let policy = header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{path}: {policy}"
            );
            for (name, value) in [
                ("x-frame-options", "DENY"),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(header(name), value, "{path}: {name}");
            }
            assert!(header("permissions-policy").contains("camera=()"), "{path}");
            assert_eq!(header("strict-transport-security"), "", "it is not reached by https");
        }
    }
    for path in ["/api/openapi.json", "/api/chat", "/none", "/health"] {
        let answer = app.http.get(format!("{}{path}", app.apis[0].url())).send().await.expect("api answers");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    }
    let large = "x".repeat(256 * 1024 + 1);
    let refused = app.send_form("/dashboard/settings/review", Some(&cookie), &[("facts", &large)]).await;
    assert_eq!(refused.status(), 413);
    assert!(refused.text().await.expect("text").contains("256 KiB"));
}

/// Values for paths and queries.
const ODD_VALUES: [&str; 24] = [
    "",
    "0",
    "-1",
    "%00",
    "%0d%0a",
    "%ff%fe",
    "%",
    "%zz",
    "..",
    "%2e%2e%2f",
    "//",
    "\\",
    "'",
    "\";--",
    "{x}",
    "a%20b",
    "é",
    "%F0%9F%92%A9",
    "99999999999999999999",
    "1.7e308",
    "NaN",
    "true",
    "null",
    "%E2%80%AE",
];
const QUERY_NAMES: [&str; 12] =
    ["days", "person", "outcome", "before", "since", "next", "code", "state", "error", "action", "page", "q"];
const HTTP_METHODS: [&str; 10] =
    ["GET", "GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"];
const ODD_HEADERS: [&str; 10] = [
    "content-type: application/json",
    "content-type: application/x-www-form-urlencoded",
    "content-type: \u{1}",
    "authorization: Bearer eb_é",
    "authorization: Basic Og==",
    "cookie: enablebot=%00; enablebot_sign_in=x; enablebot_install=",
    "x-forwarded-for: ,,,::::, 999.1.1.1",
    "x-slack-request-timestamp: 99999999999999999999",
    "accept-language: *;q=2",
    "x-request-id: \t",
];

/// Sends a raw request and reads the status; `None` if the connection was closed without one.
async fn send_raw(address: &str, request: Vec<u8>) -> Option<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(&request).await.ok()?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.ok()?;
        std::str::from_utf8(&start[9..]).ok()?.parse().ok()
    };
    timeout(TEST_TIMEOUT, exchange).await.expect("an answer, or the end")
}

fn odd_request(random: &mut impl rand::Rng, routes: &[String], cookie: &str) -> Vec<u8> {
    let mut odd = |list: &[&'static str]| *list.choose(random).expect("some");
    let (method, header, body) = (
        odd(&HTTP_METHODS),
        odd(&ODD_HEADERS),
        format!("{}={}&{}", odd(&QUERY_NAMES), odd(&ODD_VALUES), odd(&ODD_VALUES)),
    );
    let query =
        format!("{}={}&{}={}", odd(&QUERY_NAMES), odd(&ODD_VALUES), odd(&QUERY_NAMES), odd(&ODD_VALUES));
    let (value, other) = (odd(&ODD_VALUES), odd(&ODD_VALUES));
    let route = routes.choose(random).expect("some");
    let mut parts = route.split(['{', '}']).enumerate();
    let path = parts.by_ref().map(|(at, part)| if at % 2 == 0 { part } else { value }).collect::<String>();
    let path = if random.random_ratio(1, 8) { format!("{path}{other}") } else { path };
    let signed_in = if random.random_bool(0.7) { format!("cookie: {cookie}\r\n") } else { String::new() };
    let head = format!(
        "{method} {path}?{query} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\n{signed_in}{header}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    head.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_never_give_5xx() {
    let app = TestApp::installed().await;
    let cookie = app.sign_in(ADA).await;
    let seed = rand::random::<u64>();
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    for service in [&app.web, &app.apis[0]] {
        let url = format!("{}/metrics", service.url());
        let metrics = app.http.get(url).send().await.expect("metrics").text().await.expect("text");
        let patterns = metrics.split("route=\"").skip(1).filter_map(|rest| rest.split('"').next());
        // A sign-out would end the session for the remaining routes.
        let routes: BTreeSet<&str> = patterns.filter(|route| !matches!(*route, "none" | "/logout")).collect();
        let routes: Vec<String> = routes.into_iter().map(str::to_owned).collect();
        assert!(routes.len() > 5, "{routes:?}");
        let address = service.url().trim_start_matches("http://").to_owned();
        for _ in 0..100 {
            let requests: Vec<Vec<u8>> =
                (0..20).map(|_| odd_request(&mut random, &routes, &cookie)).collect();
            let answers = requests.into_iter().map(|request| {
                let address = address.clone();
                tokio::spawn(async move { (send_raw(&address, request.clone()).await, request) })
            });
            for answer in answers.collect::<Vec<_>>() {
                let (status, request) = answer.await.expect("it ends");
                let request = String::from_utf8_lossy(&request).into_owned();
                assert!(status.is_some_and(|status| status < 500), "seed {seed}: {status:?} for\n{request}");
            }
        }
        assert!(!service.log_lines().iter().any(|line| line.contains("handler panicked")), "seed {seed}");
    }
}
