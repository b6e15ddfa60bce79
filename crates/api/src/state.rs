//! What the parts of `api` share, and how they start and end together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use cache::{IpRateLimiter, RateLimiter, RedisClient, WorkspaceCache};
use db::Db;
use db::instances::{ApiFacts, Instance, SharedFacts};
use llm::ModelClient;
use models::EventOutcome;
use service::{HealthCheck, HealthChecks, HttpServer, Metrics};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::fail_point;
use crate::http_chat::{AuthThrottle, ChatService};
use crate::inbox::Inbox;
use crate::settings::{ApiSettings, SlackApp};
use crate::{app_metrics, routes, worker, workspace_loader};

/// Beyond so many, Slack's own hour has to do.
const MAX_STATUS_CLEANUPS: usize = 1024;

/// Connections beside the pool's, for what Postgres tells of events and of changes.
const LISTENER_CONNECTIONS: u32 = 2;

/// What a reply needs.
pub(crate) struct ApiState {
    pub(crate) db: Db,
    pub(crate) slack: slack::Client,
    pub(crate) model: ModelClient,
    pub(crate) rate_limiter: RateLimiter,
    /// What each workspace is and how it wants its bot, sealed: [`workspaces::find`].
    pub(crate) workspace_cache: WorkspaceCache,
    /// Who the app is to Slack; needed only to refresh tokens.
    pub(crate) slack_app: Option<SlackApp>,
    /// How long a stream is appended to, before the answer goes on in the next message.
    pub(crate) max_stream_age: Duration,
    /// Days between an uninstall and the deletion of the data.
    pub(crate) uninstall_grace_days: i32,
    /// Days for which finished events are kept.
    pub(crate) event_retention_days: i32,
    /// Statuses that are settled later, at most.
    pub(crate) status_cleanup: Arc<Semaphore>,
    /// Cancelled when answers in work are about to be handed to other replicas.
    pub(crate) handoff: CancellationToken,
    /// Rung when there may be something to sort into the queue.
    pub(crate) inbox_written: Notify,
    /// Rung when there may be something to claim.
    pub(crate) work_available: Notify,
}

/// Serves until `shutdown`, then hands back what is in work.
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
    let replica =
        Instance::new("api", env!("CARGO_PKG_VERSION"), service::instance_address(settings.port), facts);
    let database = &settings.database;
    let db = Db::open(
        &db::DbSettings {
            urls: database.urls.clone(),
            direct_urls: database.direct_urls.clone(),
            read_url: None,
            pool_size: database.pool_size,
            max_overflow: database.max_overflow,
            pool_timeout: database.pool_timeout,
        },
        settings.master_keys,
    )?;
    db.check_schema().await.context("the database is not ready")?;
    let shared = RedisClient::open(settings.redis_url.as_ref())?;
    let app = Arc::new(ApiState {
        db: db.clone(),
        slack: slack::Client::new(&settings.slack_base_url, settings.timeout)?,
        model: ModelClient::new(&settings.model, settings.timeout)?,
        rate_limiter: RateLimiter::new(
            shared.clone(),
            settings.rate_limit_per_tenant,
            settings.rate_limit_global,
        ),
        workspace_cache: WorkspaceCache::new(shared.clone(), settings.cache_ttl),
        slack_app: settings.slack_app,
        max_stream_age: settings.max_stream_age,
        uninstall_grace_days: settings.uninstall_grace_days,
        event_retention_days: settings.event_retention_days,
        status_cleanup: Arc::new(Semaphore::new(MAX_STATUS_CLEANUPS)),
        handoff: CancellationToken::new(),
        inbox_written: Notify::new(),
        work_available: Notify::new(),
    });
    tokio::spawn(
        shutdown.clone().run_until_cancelled_owned(workspace_loader::watch_changes(Arc::clone(&app))),
    );
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(app_metrics::run_gauge_loop(Arc::clone(&app))));
    let listener = TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("port {} cannot be used; API_PORT names another", settings.port))?;
    register_counters();
    tracing::info!("listening on port {}", settings.port);

    let inbox = Inbox::start(Arc::clone(&app));
    let worker = worker::run(Arc::clone(&app), settings.max_concurrent_replies, shutdown.clone());
    let knocks = IpRateLimiter::new(shared.clone(), "keys", settings.rate_limit_per_address);
    let guesses = AuthThrottle::new(settings.trusted_proxies, knocks);
    let desk =
        ChatService::start(Arc::clone(&app), guesses, settings.max_concurrent_replies, shutdown.clone());
    let routes = routes::router(settings.signing_secret, inbox, Arc::clone(&desk));
    let probes = ApiHealthChecks { db: db.clone(), redis: shared };
    let serving = async {
        // However serving ends, the worker ends with it.
        let _ended = shutdown.clone().drop_guard();
        let known = routes::API_ROUTES.to_vec();
        let headers = default_headers();
        let serving = HttpServer {
            listener,
            service: "api",
            routes,
            known_routes: known,
            headers,
            health_checks: probes,
            metrics,
        };
        serving.run(shutdown.clone()).await;
    };
    let keeping = replica.run_heartbeat(db.clone(), shutdown.clone().cancelled_owned());
    tokio::join!(serving, worker, keeping);
    desk.close().await;
    db.close().await;
    Ok(())
}

/// Of every answer that does not have its own.
fn default_headers() -> Vec<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_static;
    vec![(X_CONTENT_TYPE_OPTIONS, value("nosniff")), (CACHE_CONTROL, value("no-store"))]
}

/// What `web` shows of this service, and checks keys of the model's server against.
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

/// An address may hold what opens the server; nobody else needs that.
fn strip_credentials(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return String::new() };
    let _ = (url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

fn register_counters() {
    service::init_counters(
        "enablebot_events_total",
        "outcome",
        EventOutcome::ALL_OUTCOMES.map(EventOutcome::as_str),
    );
    service::init_counters("enablebot_put_off_total", "limit", app_metrics::RATE_LIMIT_LABELS);
    for method in slack::API_METHODS {
        for result in slack::CALL_RESULTS {
            metrics::counter!("enablebot_slack_calls_total", "method" => method, "result" => result)
                .absolute(0);
        }
    }
}

struct ApiHealthChecks {
    db: Db,
    redis: Option<RedisClient>,
}

impl HealthChecks for ApiHealthChecks {
    async fn checks(&self) -> Vec<HealthCheck> {
        let (health, redis) = tokio::join!(self.db.health(), RedisClient::status(self.redis.as_ref()));
        vec![
            HealthCheck::critical("database", health.database),
            HealthCheck::critical("schema", health.schema),
            HealthCheck::informational("redis", redis),
        ]
    }

    async fn update_gauges(&self) {
        let counts = self.db.connection_counts();
        metrics::gauge!("enablebot_db_connections", "state" => "busy").set(counts.busy);
        metrics::gauge!("enablebot_db_connections", "state" => "idle").set(counts.idle);
        metrics::gauge!("enablebot_db_connections_limit").set(counts.max);
        if let Some(shared) = &self.redis {
            metrics::gauge!("enablebot_redis_available").set(u8::from(shared.is_available()));
        }
        let state = async { db::events::queue_state(&mut self.db.begin_cross_tenant().await?).await };
        match state.await {
            Ok(state) => {
                metrics::gauge!("enablebot_queue_depth").set(state.depth as f64);
                metrics::gauge!("enablebot_queue_oldest_seconds").set(state.oldest_seconds);
            }
            Err(error) => tracing::warn!(error = %error, "the queue cannot be measured"),
        }
    }
}
