//! `CACHE_TTL`: workspace data cached on every replica and in Redis, and never older than a second.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use xtask::cluster::{Pooler, free_port};
use xtask::redis::Redis;

use crate::fixtures::{TestDatabase, start_cluster};
use crate::postgres_outage::{abort_and_join, forward_port};
use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

/// The time within which every replica must know a change.
const INVALIDATION_TIMEOUT: Duration = Duration::from_secs(1);

/// The time to reopen a broken listener and trust it again.
const RELISTEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Disables or enables the notifications of settings changes.
const DISABLE_NOTIFY_SQL: &str = "alter table settings disable trigger notify_tenant_change";
const ENABLE_NOTIFY_SQL: &str = "alter table settings enable trigger notify_tenant_change";

impl TestApp {
    /// Starts three replicas that cache, and creates an API key and an admin's cookie.
    async fn start_caching(redis_url: Option<String>) -> (Self, String, String) {
        let reached = |settings: &mut xtask::settings::StackSettings| settings.redis_url = redis_url;
        let unlimited = |settings: &mut simulator::SimulatorSettings| settings.has_rate_limits = false;
        let mut app = Self::start_on_database(TestDatabase::create(), reached, unlimited, &[]).await;
        app.install().await;
        app.simulator.set_model_options("ttft=0&gap=0");
        for _ in 0..2 {
            app.add_api(free_port().expect("a port"), &[]);
        }
        let key = app.create_api_key(ADA, &["chat"]).await;
        let admin = app.sign_in(ADA).await;
        sleep(INVALIDATION_TIMEOUT).await;
        (app, key, admin)
    }

    /// Returns the number of replicas whose instructions for the workspace contain this text.
    async fn count_replicas_with_fact(&self, key: &str, fact: &str) -> usize {
        let mut count = 0;
        for api in &self.apis {
            let request = self.http.post(format!("{}/api/chat", api.url())).bearer_auth(key);
            let answer = request.json(&json!({ "message": "say: Yes." })).send().await.expect("api answers");
            assert_eq!(answer.status(), StatusCode::OK, "{}", self.api_logs());
            answer.bytes().await.expect("an answer");
            count += usize::from(self.last_prompt()[0]["content"].to_string().contains(fact));
        }
        count
    }

    /// Asserts that all replicas cache: they know `told`, but not `untold`, which is set without a
    /// notification.
    ///
    /// A replica on a busy machine may miss its own heartbeat and bypass its cache, so this tries several
    /// times. Notifications are disabled afterwards.
    async fn assert_all_cache(&self, key: &str, admin: &str, told: &str, untold: &str) {
        for _ in 0..5 {
            self.database.query(ENABLE_NOTIFY_SQL);
            self.set_fact(admin, told).await;
            assert_eq!(self.count_replicas_with_fact(key, told).await, 3);
            self.database.query(DISABLE_NOTIFY_SQL);
            self.set_fact(admin, untold).await;
            if self.count_replicas_with_fact(key, told).await == 3 {
                return;
            }
        }
        panic!("not all replicas cache {told:?}");
    }

    /// Changes a fact, and waits until all replicas must know it.
    async fn set_fact(&self, admin: &str, fact: &str) {
        self.save_settings(admin, &[("facts", fact)]).await;
        sleep(INVALIDATION_TIMEOUT).await;
    }
}

/// Returns everything in Redis: names and values.
pub(crate) async fn redis_contents(redis: &Redis) -> Vec<(String, String)> {
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let names: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("an answer");
    let mut all = Vec::new();
    for name in names {
        let kind: String = redis::cmd("TYPE").arg(&name).query_async(&mut connection).await.expect("a type");
        let read = if kind == "hash" { "HVALS" } else { "GET" };
        let value: redis::Value = redis::cmd(read).arg(&name).query_async(&mut connection).await.expect("it");
        let parts = match value {
            redis::Value::Array(parts) => parts,
            one => vec![one],
        };
        let text = parts.into_iter().map(|part| match part {
            redis::Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => format!("{other:?}"),
        });
        all.push((name, text.collect()));
    }
    all
}

async fn assert_change_reaches_all_replicas(redis: Option<&Redis>) {
    let (app, key, admin) = TestApp::start_caching(redis.map(Redis::url)).await;
    app.assert_all_cache(&key, &admin, "We sell tea.", "We sell beer.").await;
    app.database.query(ENABLE_NOTIFY_SQL);
    for fact in ["We sell cocoa.", "We sell milk."] {
        app.set_fact(&admin, fact).await;
        assert_eq!(app.count_replicas_with_fact(&key, fact).await, 3);
    }

    // Changes during a gap of the listener are known once it is back.
    app.assert_all_cache(&key, &admin, "We sell honey.", "We sell water.").await;
    app.database.query(ENABLE_NOTIFY_SQL);
    app.database.query(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = current_database() and query ilike 'listen%enablebot_changes%'",
    );
    sleep(RELISTEN_TIMEOUT).await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell water.").await, 3);
    // And it is cached again.
    app.assert_all_cache(&key, &admin, "We sell soda.", "We sell nothing.").await;
}

/// Within one second.
#[tokio::test(flavor = "multi_thread")]
async fn change_reaches_replicas_with_redis() {
    let redis = Redis::start().expect("Redis starts");
    assert_change_reaches_all_replicas(Some(&redis)).await;
}

/// Within one second.
#[tokio::test(flavor = "multi_thread")]
async fn change_reaches_replicas_without_redis() {
    assert_change_reaches_all_replicas(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnected_redis_serves_no_stale_data() {
    let redis = Redis::start().expect("Redis starts");
    let port = free_port().expect("a port");
    let forwarding = forward_port(port, redis.port()).await;
    let (mut app, key, admin) = TestApp::start_caching(Some(format!("redis://127.0.0.1:{port}"))).await;
    app.set_fact(&admin, "We sell tea.").await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell tea.").await, 3);
    let kept =
        async || redis_contents(&redis).await.iter().filter(|(name, _)| name.contains("kept:of:")).count();
    // A replica on a busy machine may bypass the cache for a moment.
    let begun = Instant::now();
    while kept().await == 0 {
        assert!(begun.elapsed() < TEST_TIMEOUT, "{:?}", redis_contents(&redis).await);
        assert_eq!(app.count_replicas_with_fact(&key, "We sell tea.").await, 3);
    }
    assert_eq!(kept().await, 1, "{:?}", redis_contents(&redis).await);

    abort_and_join(forwarding).await;
    app.set_fact(&admin, "We sell cocoa.").await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell cocoa.").await, 3);
    assert_eq!(kept().await, 1, "it stayed in Redis");
    let _forwarding = forward_port(port, redis.port()).await;
    app.wait_for_log("redis is back").await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell cocoa.").await, 3);
    // A replica with an empty local cache.
    app.add_api(free_port().expect("a port"), &[]);
    sleep(INVALIDATION_TIMEOUT).await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell cocoa.").await, 4);
    app.set_fact(&admin, "We sell milk.").await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell milk.").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_is_bypassed_behind_transaction_pooler() {
    let cluster = start_cluster("no-sessions");
    let pooler = Pooler::start(&cluster).expect("pgBouncer starts");
    let database = TestDatabase::create_on_cluster(&cluster);
    let pooled = pooler.url(database.name());
    let behind = |settings: &mut xtask::settings::StackSettings| settings.database_url = Some(pooled.clone());
    // A migration needs a session.
    xtask::settings::StackSettings::simulated(
        xtask::settings::Ports::free().expect("free ports"),
        database.url.clone(),
        xtask::settings::Secrets::generate().expect("random bytes"),
    )
    .migrate(crate::fixtures::binaries().path("web").expect("web"))
    .expect("it migrates");
    let app =
        TestApp::start_on_database(database, behind, |settings| settings.has_rate_limits = false, &[]).await;
    app.install().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let (key, admin) = (app.create_api_key(ADA, &["chat"]).await, app.sign_in(ADA).await);
    for fact in ["We sell tea.", "We sell cocoa.", "We sell milk."] {
        app.save_settings(&admin, &[("facts", fact)]).await;
        assert_eq!(app.count_replicas_with_fact(&key, fact).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstalled_workspace_leaves_no_cache_entry() {
    let redis = Redis::start().expect("Redis starts");
    let (app, key, admin) = TestApp::start_caching(Some(redis.url())).await;
    app.set_fact(&admin, "We sell tea in Lisbon.").await;
    assert_eq!(app.count_replicas_with_fact(&key, "We sell tea in Lisbon.").await, 3);
    let token = app.simulator.installation(TEAM).expect("an installation").token;
    let all = redis_contents(&redis).await;
    let kept = all.iter().find(|(name, _)| name.contains("kept:of:")).expect("it is kept");
    assert!(kept.1.len() > 500, "{kept:?}");
    for secret in [token.as_str(), "xoxb", "Lisbon", "Acme"] {
        assert!(!all.iter().any(|(name, value)| name.contains(secret) || value.contains(secret)), "{all:?}");
    }

    app.balance_events();
    app.simulator.uninstall(TEAM);
    app.wait_acknowledged("app_uninstalled", 1).await;
    app.wait_for_query("select count(*) from installations", "0").await;
    sleep(INVALIDATION_TIMEOUT).await;
    let before = app.simulator.calls().len();
    for api in &app.apis {
        let request = app.http.post(format!("{}/api/chat", api.url())).bearer_auth(&key);
        let refused = request.json(&json!({ "message": "say: Yes." })).send().await.expect("api answers");
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
    let dm = app.dm(ADA);
    for at in 0..6 {
        let event = json!({"type": "message", "channel": dm, "channel_type": "im", "user": ADA,
                           "text": "Anybody?", "ts": format!("1.00000{at}"), "event_ts": "1.0"});
        let body = app.envelope(&format!("EvLEFT{at}"), 0, event).to_string();
        app.simulator.deliver_raw(body).await.expect("an answer");
    }
    app.wait_idle().await;
    assert_eq!(app.simulator.calls().len(), before, "{:?}", &app.simulator.calls()[before..]);
    let left = redis_contents(&redis).await;
    assert!(!left.iter().any(|(name, _)| name.contains("kept:of:")), "{left:?}");
}
