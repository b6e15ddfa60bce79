//! What the pages share, and how `web` starts and ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_extra::extract::cookie::Key;
use cache::{IpRateLimiter, RedisClient};
use chrono::TimeDelta;
use db::Db;
use db::instances::{Instance, SharedFacts};
use secrecy::ExposeSecret;
use service::{HealthCheck, HealthChecks, HttpServer, Metrics, TrustedProxies};
use storage::StorageBucket;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::operators::Operators;
use crate::overview_cache::OverviewCache;
use crate::security_headers;
use crate::session_loader::{self, SessionLoader};
use crate::settings::{LOGIN_PATH, WebSettings};
use crate::{audit, key_rotation, routes};

/// What a page needs.
pub(crate) struct WebState {
    pub(crate) db: Db,
    /// Who is signed in.
    pub(crate) session_loader: SessionLoader,
    /// What was told of late.
    pub(crate) overview_cache: OverviewCache,
    pub(crate) slack: slack::Client,
    pub(crate) slack_app: slack::OAuthApp,
    pub(crate) slack_base_url: String,
    /// Where Slack sends the browser back to after a sign-in.
    pub(crate) login_uri: String,
    /// Who looks after all workspaces.
    pub(crate) operators: Operators,
    /// When a data key is due to be replaced.
    pub(crate) key_rotation_interval: TimeDelta,
    /// Cancelled when this service ends: pages that are live let go.
    pub(crate) shutdown: CancellationToken,
    /// Seals what a browser keeps for this service.
    pub(crate) cookie_key: Key,
    /// Whose word on where a request comes from is believed.
    pub(crate) trusted_proxies: TrustedProxies,
    /// How often one address may begin, or end, a sign-in or an install.
    pub(crate) ip_rate_limiter: IpRateLimiter,
    /// How long a page may take.
    pub(crate) page_timeout: Duration,
}

impl WebState {
    /// Whether browsers reach this service by https.
    pub(crate) fn is_secure(&self) -> bool {
        self.login_uri.starts_with("https:")
    }

    /// Where browsers reach this service, and programs `/api/`: scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        self.login_uri.strip_suffix(LOGIN_PATH).unwrap_or(&self.login_uri)
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// The database does not answer or its schema is behind, the port is taken, or TLS cannot be set up.
pub async fn serve(
    settings: WebSettings,
    shutdown: CancellationToken,
    metrics: Metrics,
) -> anyhow::Result<()> {
    let database = &settings.database;
    let db = Db::open(
        &db::DbSettings {
            urls: database.urls.clone(),
            direct_urls: database.direct_urls.clone(),
            read_url: settings.read_url,
            pool_size: database.pool_size,
            max_overflow: database.max_overflow,
            pool_timeout: database.pool_timeout,
        },
        settings.master_keys,
    )?;
    db.check_schema().await.context("the database is not ready")?;
    let shared = RedisClient::open(settings.redis_url.as_ref())?;
    let app = Arc::new(WebState {
        session_loader: session_loader::new_session_loader(&db),
        overview_cache: OverviewCache::new(&db),
        db: db.clone(),
        slack: slack::Client::new(&settings.slack_base_url, settings.timeout)?,
        slack_app: settings.slack_app,
        slack_base_url: settings.slack_base_url,
        login_uri: settings.login_uri,
        operators: settings.operators,
        key_rotation_interval: settings.key_rotation_interval,
        shutdown: shutdown.clone(),
        cookie_key: Key::derive_from(settings.session_secret.expose_secret().as_bytes()),
        trusted_proxies: settings.trusted_proxies,
        ip_rate_limiter: IpRateLimiter::new(shared.clone(), "pages", settings.rate_limit_per_address),
        // A sign-in asks Slack twice, and may wait for a connection to the database.
        page_timeout: 2 * settings.timeout + database.pool_timeout,
    });
    let listener = TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("port {} cannot be used; WEB_PORT names another", settings.port))?;
    service::init_counters("enablebot_installs_total", "result", routes::INSTALL_RESULTS);
    tracing::info!("listening on port {}", settings.port);

    let probes = WebHealthChecks { db: db.clone(), redis: shared };
    let headers = security_headers::default_headers(app.is_secure());
    let routes = routes::router(app);
    let host = service::instance_address(settings.port);
    let facts = SharedFacts {
        redis: settings.redis_url.as_ref().and_then(cache::display_address),
        connections: settings.database.max_connections(),
        connections_kept: settings.database.pool_size,
    };
    let replica = Instance::new("web", env!("CARGO_PKG_VERSION"), host, serde_json::to_value(facts)?);
    let keeping = replica.run_heartbeat(db.clone(), shutdown.clone().cancelled_owned());
    let bucket =
        settings.audit.archive.map(|archive| StorageBucket::new(archive, settings.timeout)).transpose()?;
    let archiving =
        audit::run_audit_archive_loop(db.clone(), settings.audit.retention_days, bucket, shutdown.clone());
    let rotating =
        key_rotation::run_key_rotation_loop(db.clone(), settings.key_rotation_interval, shutdown.clone());
    let serving = async {
        // However serving ends, the replica is taken out with it.
        let _ended = shutdown.clone().drop_guard();
        let known = routes::known_routes();
        let serving = HttpServer {
            listener,
            service: "web",
            routes,
            known_routes: known,
            headers,
            health_checks: probes,
            metrics,
        };
        serving.run(shutdown.clone()).await;
    };
    tokio::join!(serving, keeping, rotating, archiving);
    db.close().await;
    Ok(())
}

struct WebHealthChecks {
    db: Db,
    redis: Option<RedisClient>,
}

impl HealthChecks for WebHealthChecks {
    async fn checks(&self) -> Vec<HealthCheck> {
        let (health, redis) = tokio::join!(self.db.health(), RedisClient::status(self.redis.as_ref()));
        let mut checks = vec![
            HealthCheck::critical("database", health.database),
            HealthCheck::critical("schema", health.schema),
            HealthCheck::informational("redis", redis),
        ];
        checks.extend(
            self.db.standby().map(|standby| HealthCheck::informational("replica", standby.to_string())),
        );
        checks
    }

    async fn update_gauges(&self) {
        let counts = self.db.connection_counts();
        metrics::gauge!("enablebot_db_connections", "state" => "busy").set(counts.busy);
        metrics::gauge!("enablebot_db_connections", "state" => "idle").set(counts.idle);
        metrics::gauge!("enablebot_db_connections_limit").set(counts.max);
        if let Some(shared) = &self.redis {
            metrics::gauge!("enablebot_redis_available").set(u8::from(shared.is_available()));
        }
        if let Some(standby) = self.db.standby() {
            metrics::gauge!("enablebot_db_replica_lag_seconds").set(standby.lag.as_secs_f64());
        }
    }
}
