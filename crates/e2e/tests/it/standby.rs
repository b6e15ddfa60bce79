//! A standby serves the dashboard: pages may be slightly old, but never older than the reader's own last
//! change, and the primary serves what the standby cannot.

use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::cluster::{Cluster, free_port};
use xtask::service::Service;
use xtask::workspace;

use crate::fixtures::{TestDatabase, psql, start_cluster};
use crate::test_app::{ADA, TEST_TIMEOUT, TestApp};

const EVENTS_PATH: &str = "/dashboard/events";
const STALE_NOTICE: &str = "data-testid=\"age\"";

/// EnableBot on a primary, with a `web` that reads from its standby.
struct StandbyDeployment {
    // Dropped before the database, to which it would reconnect.
    web: Service,
    app: TestApp,
    standby: Cluster,
    _primary: Cluster,
    /// The cookie of a session that has changed nothing yet.
    cookie: String,
}

impl StandbyDeployment {
    async fn start(name: &str) -> Self {
        let primary = start_cluster(name);
        let database = TestDatabase::create_on_cluster(&primary);
        let app = TestApp::start_on_database(database, |_| {}, |_| {}, &[]).await;
        app.install().await;
        app.simulator.set_model_options("ttft=0&gap=0");
        let folder = workspace::target().join(format!("test/{name}-standby-{}", std::process::id()));
        let standby = primary.start_standby(&folder).expect("the standby starts");
        let read_url = standby.url(app.database.name());
        let port = free_port().expect("a port");
        let web = app.add_web_with(port, &[("DATABASE_READ_URL", &read_url)]);
        let cookie = app.sign_in(ADA).await;
        let deployment = Self { web, app, standby, _primary: primary, cookie };
        deployment.wait_standby_check(|state| state == "ok").await;
        deployment
    }

    /// Returns a page as read from the standby.
    async fn page(&self, path: &str) -> String {
        self.page_with(path, &self.cookie).await
    }

    async fn page_with(&self, path: &str, cookie: &str) -> String {
        let request = self.app.http.get(format!("{}{path}", self.web.url())).header("cookie", cookie);
        let answer = request.send().await.expect("web answers");
        assert_eq!(answer.status(), 200, "{path}\n{}", self.web.last_log_lines(20));
        answer.text().await.expect("text")
    }

    /// Waits until `/health/ready`, which stays ready, reports this about the standby.
    async fn wait_standby_check(&self, expected: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let answer = self.page("/health/ready").await;
            let told: Value = serde_json::from_str(&answer).expect("JSON");
            if told["checks"]["replica"].as_str().is_some_and(&expected) {
                return;
            }
            assert!(begun.elapsed() < TEST_TIMEOUT, "{answer}\n{}", self.web.last_log_lines(20));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a page satisfies the predicate.
    async fn wait_for_page(&self, path: &str, expected: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let page = self.page(path).await;
            if expected(&page) {
                return;
            }
            assert!(begun.elapsed() < TEST_TIMEOUT, "{page}\n{}", self.web.last_log_lines(20));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the id of an event that gets a reply.
    async fn answered_event_id(&self, words: &str) -> String {
        let ts = self.app.send_dm(ADA, None, &format!("say: {words}"));
        assert_eq!(self.app.wait_reply(&self.app.dm(ADA), &ts).await, words);
        self.app.database.query(&format!("select event_id from events where message_ts = '{ts}'"))
    }

    /// Asserts that pages come from the standby: while its replay is paused it misses new events.
    async fn assert_reads_from_standby(&self, words: &str) -> String {
        self.standby.pause_replay().expect("it pauses");
        let event_id = self.answered_event_id(words).await;
        assert!(
            self.app
                .get_page(EVENTS_PATH, Some(&self.cookie))
                .await
                .text()
                .await
                .expect("text")
                .contains(&event_id)
        );
        assert!(!self.page(EVENTS_PATH).await.contains(&event_id), "the primary was asked");
        event_id
    }

    fn replica_lag_seconds(&self, metrics: &str) -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix("enablebot_db_replica_lag_seconds "));
        line.and_then(|value| value.parse().ok()).expect("the metric")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_read_standby_and_show_age() {
    let deployment = StandbyDeployment::start("lag").await;
    assert!(!deployment.page(EVENTS_PATH).await.contains(STALE_NOTICE));
    let event_id = deployment.assert_reads_from_standby("Not replayed.").await;
    deployment
        .wait_for_page(EVENTS_PATH, |page| page.contains(STALE_NOTICE) && page.contains("seconds old"))
        .await;
    deployment.wait_for_page("/dashboard", |page| page.contains(STALE_NOTICE)).await;
    assert!(
        !deployment.page("/dashboard/settings").await.contains(STALE_NOTICE),
        "those come from the primary"
    );
    deployment.wait_standby_check(|state| state.starts_with("ok, ") && state.ends_with(" s behind")).await;
    assert!(deployment.replica_lag_seconds(&deployment.page("/metrics").await) >= 2.0);

    // A person's own change is visible at once.
    let url = format!("{}/dashboard/people/me/profile", deployment.web.url());
    let form = [("name", "Ada"), ("role", "Countess"), ("department", ""), ("location", "")];
    let request = deployment.app.http.post(url).form(&form).header("sec-fetch-site", "same-origin");
    let answer = request.header("cookie", &deployment.cookie).send().await.expect("web answers");
    assert_eq!(answer.status(), 303);
    let mark = answer.headers()["set-cookie"].to_str().expect("text");
    assert!(mark.contains("Max-Age=60") && mark.contains("HttpOnly"), "{mark}");
    let marked = format!("{}; {}", deployment.cookie, mark.split(';').next().expect("a cookie"));
    assert!(deployment.page_with("/dashboard/people/me", &marked).await.contains("Countess"));
    assert!(
        !deployment.page("/dashboard/people/me").await.contains("Countess"),
        "others wait for the standby"
    );
    assert!(deployment.page_with(EVENTS_PATH, &marked).await.contains(&event_id));

    deployment.standby.resume_replay().expect("replay resumes");
    deployment
        .wait_for_page(EVENTS_PATH, |page| page.contains(&event_id) && !page.contains(STALE_NOTICE))
        .await;
    deployment.wait_for_page("/dashboard/people/me", |page| page.contains("Countess")).await;
    deployment.wait_standby_check(|state| state == "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_standby_reads_fall_back_to_primary() {
    let mut deployment = StandbyDeployment::start("conflict").await;
    // A lock of a schema change, replayed on the standby, cancels readers in the middle of a page.
    let locks = "do $$ begin
                     for _ in 1..50 loop
                         lock table chat_memory, threads, audit_log in access exclusive mode;
                         commit;
                         perform pg_sleep(0.005);
                     end loop;
                 end $$";
    let has_failed = |web: &Service| web.log_lines().iter().any(|line| line.contains("standby query failed"));
    let begun = Instant::now();
    while !has_failed(&deployment.web) {
        assert!(begun.elapsed() < 6 * TEST_TIMEOUT, "no conflict comes of it");
        let url = deployment.app.database.url.clone();
        let locking = tokio::task::spawn_blocking(move || psql(&url, locks));
        while !locking.is_finished() {
            deployment.page("/dashboard/data").await;
        }
        locking.await.expect("it locks");
    }

    deployment.standby.crash().expect("it ends");
    let event_id = deployment.answered_event_id("Without a standby.").await;
    assert!(deployment.page(EVENTS_PATH).await.contains(&event_id));
    deployment.wait_standby_check(|state| state.ends_with("; using the primary")).await;
    for path in ["/dashboard", EVENTS_PATH, "/dashboard/conversations", "/dashboard/audit", "/dashboard/data"]
    {
        assert!(!deployment.page(path).await.contains(STALE_NOTICE));
    }
    deployment.standby.relaunch().expect("it starts again");
    deployment.wait_standby_check(|state| state == "ok").await;
    deployment.assert_reads_from_standby("With it again.").await;
    deployment.standby.resume_replay().expect("replay resumes");
}
