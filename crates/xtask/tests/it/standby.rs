//! A standby answers for the dashboard: with what it has, never with less than whoever looks has just written, and never
//! at all where it cannot.

use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::cluster::{Cluster, free_port};
use xtask::service::Service;
use xtask::workspace;

use crate::ground::{Database, own_cluster, psql};
use crate::test_app::{ADA, PATIENCE, TestApp};

const EVENTS: &str = "/dashboard/events";
const NOTICE: &str = "data-testid=\"age\"";

/// EnableBot on a primary, and a `web` that reads from its standby.
struct Ground {
    // Ends before the database does, to which it would connect again.
    web: Service,
    app: TestApp,
    standby: Cluster,
    _primary: Cluster,
    /// Of a session that changed nothing yet.
    cookie: String,
}

impl Ground {
    async fn start(name: &str) -> Self {
        let primary = own_cluster(name);
        let database = Database::create_in(&primary);
        let app = TestApp::start_on(database, |_| {}, |_| {}, &[]).await;
        app.install().await;
        app.simulator.set_model_behaviour("ttft=0&gap=0");
        let folder = workspace::target().join(format!("test/{name}-standby-{}", std::process::id()));
        let standby = primary.start_standby(&folder).expect("the standby starts");
        let read_url = standby.url(app.database.name());
        let port = free_port().expect("a port");
        let web = app.add_web_with(port, &[("DATABASE_READ_URL", &read_url)]);
        let cookie = app.sign_in(ADA).await;
        let ground = Self { web, app, standby, _primary: primary, cookie };
        ground.replica_becomes(|state| state == "ok").await;
        ground
    }

    /// A page as it is read from the standby, if it is.
    async fn page(&self, path: &str) -> String {
        self.page_with(path, &self.cookie).await
    }

    async fn page_with(&self, path: &str, cookie: &str) -> String {
        let request = self.app.http.get(format!("{}{path}", self.web.url())).header("cookie", cookie);
        let answer = request.send().await.expect("web answers");
        assert_eq!(answer.status(), 200, "{path}\n{}", self.web.last_lines(20));
        answer.text().await.expect("text")
    }

    /// Waits until `/health/ready`, which stays ready, tells so of the standby.
    async fn replica_becomes(&self, expected: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let answer = self.page("/health/ready").await;
            let told: Value = serde_json::from_str(&answer).expect("JSON");
            if told["checks"]["replica"].as_str().is_some_and(&expected) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{answer}\n{}", self.web.last_lines(20));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a page is as it should be.
    async fn page_becomes(&self, path: &str, expected: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let page = self.page(path).await;
            if expected(&page) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{page}\n{}", self.web.last_lines(20));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An event that is answered, by its id.
    async fn answered(&self, words: &str) -> String {
        let ts = self.app.say(ADA, None, &format!("say: {words}"));
        assert_eq!(self.app.reply(&self.app.dm(ADA), &ts).await, words);
        self.app.database.ask(&format!("select event_id from events where message_ts = '{ts}'"))
    }

    /// Whether pages come from the standby: while it replays nothing it does not know what happens meanwhile.
    async fn shows_only_what_the_standby_has(&self, words: &str) -> String {
        self.standby.pause_replay().expect("it pauses");
        let event_id = self.answered(words).await;
        assert!(
            self.app.get(EVENTS, Some(&self.cookie)).await.text().await.expect("text").contains(&event_id)
        );
        assert!(!self.page(EVENTS).await.contains(&event_id), "the primary was asked");
        event_id
    }

    fn lag(&self, metrics: &str) -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix("enablebot_db_replica_lag_seconds "));
        line.and_then(|value| value.parse().ok()).expect("the metric")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_from_the_standby_and_tell_how_old_they_are() {
    let ground = Ground::start("lag").await;
    assert!(!ground.page(EVENTS).await.contains(NOTICE));
    let event_id = ground.shows_only_what_the_standby_has("Not replayed.").await;
    ground.page_becomes(EVENTS, |page| page.contains(NOTICE) && page.contains("seconds old")).await;
    ground.page_becomes("/dashboard", |page| page.contains(NOTICE)).await;
    assert!(!ground.page("/dashboard/settings").await.contains(NOTICE), "those come from the primary");
    ground.replica_becomes(|state| state.starts_with("ok, ") && state.ends_with(" s behind")).await;
    assert!(ground.lag(&ground.page("/metrics").await) >= 2.0);

    // Whoever changes something sees it at once.
    let url = format!("{}/dashboard/people/me/profile", ground.web.url());
    let form = [("name", "Ada"), ("role", "Countess"), ("department", ""), ("location", "")];
    let request = ground.app.http.post(url).form(&form).header("sec-fetch-site", "same-origin");
    let answer = request.header("cookie", &ground.cookie).send().await.expect("web answers");
    assert_eq!(answer.status(), 303);
    let mark = answer.headers()["set-cookie"].to_str().expect("text");
    assert!(mark.contains("Max-Age=60") && mark.contains("HttpOnly"), "{mark}");
    let marked = format!("{}; {}", ground.cookie, mark.split(';').next().expect("a cookie"));
    assert!(ground.page_with("/dashboard/people/me", &marked).await.contains("Countess"));
    assert!(!ground.page("/dashboard/people/me").await.contains("Countess"), "others wait for the standby");
    assert!(ground.page_with(EVENTS, &marked).await.contains(&event_id));

    ground.standby.resume_replay().expect("it goes on");
    ground.page_becomes(EVENTS, |page| page.contains(&event_id) && !page.contains(NOTICE)).await;
    ground.page_becomes("/dashboard/people/me", |page| page.contains("Countess")).await;
    ground.replica_becomes(|state| state == "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_standby_has_no_answer_to_the_primary_is_asked() {
    let mut ground = Ground::start("conflict").await;
    // What is locked by whoever changes a table ends those who read it on the standby, in the middle of a page.
    let locks = "do $$ begin
                     for _ in 1..50 loop
                         lock table turns, threads, audit_log in access exclusive mode;
                         commit;
                         perform pg_sleep(0.005);
                     end loop;
                 end $$";
    let has_failed =
        |web: &Service| web.lines().iter().any(|line| line.contains("the standby has no answer"));
    let begun = Instant::now();
    while !has_failed(&ground.web) {
        assert!(begun.elapsed() < 6 * PATIENCE, "no conflict comes of it");
        let url = ground.app.database.url.clone();
        let locking = tokio::task::spawn_blocking(move || psql(&url, locks));
        while !locking.is_finished() {
            ground.page("/dashboard/data").await;
        }
        locking.await.expect("it locks");
    }

    ground.standby.crash().expect("it ends");
    let event_id = ground.answered("Without a standby.").await;
    assert!(ground.page(EVENTS).await.contains(&event_id));
    ground.replica_becomes(|state| state.ends_with("; the primary answers for it")).await;
    for path in ["/dashboard", EVENTS, "/dashboard/conversations", "/dashboard/audit", "/dashboard/data"] {
        assert!(!ground.page(path).await.contains(NOTICE));
    }
    ground.standby.revive().expect("it starts again");
    ground.replica_becomes(|state| state == "ok").await;
    ground.shows_only_what_the_standby_has("With it again.").await;
    ground.standby.resume_replay().expect("it goes on");
}
