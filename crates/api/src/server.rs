//! Builds the state, starts the parts of the service, and stops them in order.

use std::sync::Arc;

use anyhow::Context;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use cache::{IpRateLimiter, RateLimiter, RedisClient, WorkspaceCache};
use db::instances::{ApiFacts, Instance, SharedFacts};
use db::{Db, DbSettings};
use llm::ModelClient;
use models::EventOutcome;
use service::{DatabaseSettings, HttpServer, Metrics};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::gauges::{self, ApiHealthChecks};
use crate::http_chat::{AuthThrottle, ChatService};
use crate::inbox::Inbox;
use crate::settings::ApiSettings;
use crate::state::ApiState;
use crate::{app_metrics, fail_point, routes, worker, workspace_loader};

/// The number of statuses that wait to be cleared; beyond it Slack clears them itself after an hour.
const MAX_STATUS_CLEANUPS: usize = 1024;

/// Connections beside the pool: one listens for events, one for changes of workspaces.
const LISTENER_CONNECTIONS: u32 = 2;

/// Serves until `shutdown`, then hands replies in progress to other replicas.
///
/// # Errors
/// The database does not answer or its schema is behind, the port is taken, or TLS cannot be set up.
pub async fn serve(
    settings: ApiSettings,
    shutdown: CancellationToken,
    metrics: Metrics,
) -> anyhow::Result<()> {
    fail_point::arm();
    let facts = serde_json::to_value(api_facts(&settings))?;
    let address = service::instance_address(settings.port);
    let instance = Instance::new("api", env!("CARGO_PKG_VERSION"), address, facts);
    let db = open_database(&settings.database, settings.master_keys).await?;
    let redis = RedisClient::open(settings.redis_url.as_ref())?;
    let (per_tenant, global) = (settings.rate_limit_per_tenant, settings.rate_limit_global);
    let state = Arc::new(ApiState {
        db: db.clone(),
        slack: slack::Client::new(&settings.slack_base_url, settings.timeout)?,
        model: ModelClient::new(&settings.model, settings.timeout)?,
        rate_limiter: RateLimiter::new(redis.clone(), per_tenant, global),
        workspace_cache: WorkspaceCache::new(redis.clone(), settings.cache_ttl),
        slack_app: settings.slack_app,
        max_stream_age: settings.max_stream_age,
        uninstall_grace_days: settings.uninstall_grace_days,
        event_retention_days: settings.event_retention_days,
        budget_ceiling: settings.budget_ceiling,
        status_cleanup: Arc::new(Semaphore::new(MAX_STATUS_CLEANUPS)),
        handoff: CancellationToken::new(),
        inbox_written: Notify::new(),
        work_available: Notify::new(),
    });
    let until_shutdown = || shutdown.clone();
    tokio::spawn(
        until_shutdown().run_until_cancelled_owned(workspace_loader::watch_changes(Arc::clone(&state))),
    );
    tokio::spawn(until_shutdown().run_until_cancelled_owned(gauges::run_gauge_loop(db.clone())));
    let listener = TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("port {} cannot be used; API_PORT selects another", settings.port))?;
    register_counters();
    tracing::info!("listening on port {}", settings.port);

    let inbox = Inbox::start(Arc::clone(&state));
    let worker = worker::run(Arc::clone(&state), settings.max_concurrent_replies, shutdown.clone());
    let key_limiter = IpRateLimiter::new(redis.clone(), "keys", settings.rate_limit_per_address);
    let auth_throttle = AuthThrottle::new(settings.trusted_proxies, key_limiter);
    let slots = settings.max_concurrent_replies;
    let chat = ChatService::start(Arc::clone(&state), auth_throttle, slots, shutdown.clone());
    let routes = routes::router(settings.signing_secret, inbox, Arc::clone(&chat));
    let http = async {
        // The worker stops with the server, however that ends.
        let _stop_worker = shutdown.clone().drop_guard();
        let server = HttpServer {
            listener,
            service: "api",
            routes,
            known_routes: routes::API_ROUTES.to_vec(),
            headers: default_headers(),
            health_checks: ApiHealthChecks { db: db.clone(), redis },
            metrics,
        };
        server.run(shutdown.clone()).await;
    };
    let heartbeat = instance.run_heartbeat(db.clone(), shutdown.clone().cancelled_owned());
    tokio::join!(http, worker, heartbeat);
    chat.close().await;
    db.close().await;
    Ok(())
}

async fn open_database(settings: &DatabaseSettings, keys: crypto::MasterKeys) -> anyhow::Result<Db> {
    let settings = DbSettings {
        urls: settings.urls.clone(),
        direct_urls: settings.direct_urls.clone(),
        read_url: None,
        pool_size: settings.pool_size,
        max_overflow: settings.max_overflow,
        pool_timeout: settings.pool_timeout,
    };
    let db = Db::open(&settings, keys)?;
    db.check_schema().await.context("the database is not ready")?;
    Ok(db)
}

/// Returns the headers of every response that does not set them itself.
fn default_headers() -> Vec<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_static;
    vec![(X_CONTENT_TYPE_OPTIONS, value("nosniff")), (CACHE_CONTROL, value("no-store"))]
}

/// Returns the facts that `web` shows about this service, and that it checks API keys of the model's server
/// with.
fn api_facts(settings: &ApiSettings) -> ApiFacts {
    ApiFacts {
        models: settings.model.models.clone(),
        base_url: strip_credentials(&settings.model.base_url),
        rate_limit_per_tenant: settings.rate_limit_per_tenant.to_string(),
        rate_limit_global: settings.rate_limit_global.to_string(),
        max_concurrent_replies: settings.max_concurrent_replies,
        uninstall_grace_days: settings.uninstall_grace_days,
        event_retention_days: settings.event_retention_days,
        shared: SharedFacts {
            redis: settings.redis_url.as_ref().and_then(cache::display_address),
            connections: settings.database.max_connections() + LISTENER_CONNECTIONS,
            connections_kept: settings.database.pool_size + LISTENER_CONNECTIONS,
        },
    }
}

/// Removes the user name and password from a URL.
fn strip_credentials(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return String::new() };
    let _ = (url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

/// Makes every counter visible at zero from the start.
fn register_counters() {
    let outcomes = EventOutcome::ALL_OUTCOMES.map(EventOutcome::as_str);
    service::init_counters("enablebot_events_total", "outcome", outcomes);
    service::init_counters(db::UNPROVEN_ROWS, "table", ["api_keys"]);
    service::init_counters("enablebot_rate_limited_total", "limit", app_metrics::RATE_LIMIT_LABELS);
    for method in slack::API_METHODS {
        for result in slack::CALL_RESULTS {
            metrics::counter!("enablebot_slack_calls_total", "method" => method, "result" => result)
                .absolute(0);
        }
    }
}
