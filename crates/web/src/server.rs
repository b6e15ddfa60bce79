//! Start and shutdown of `web`: the HTTP server, its health checks and the background jobs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_extra::extract::cookie::Key;
use cache::{IpRateLimiter, RedisClient};
use crypto::SessionKey;
use db::Db;
use db::instances::{Instance, SharedFacts};
use secrecy::ExposeSecret;
use service::{HealthCheck, HealthChecks, HttpServer, Metrics};
use storage::StorageBucket;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::session_loader;
use crate::jobs::{audit_archive, key_rotation};
use crate::middleware::security_headers;
use crate::routes;
use crate::routes::overview::cache::OverviewCache;
use crate::settings::WebSettings;
use crate::state::WebState;
use crate::stream_limits::StreamLimits;

/// Serves until `shutdown`.
///
/// # Errors
/// The database cannot be reached or its schema is outdated, the port is in use, or TLS cannot be set up.
pub async fn serve(
    settings: WebSettings,
    shutdown: CancellationToken,
    metrics: Metrics,
) -> anyhow::Result<()> {
    let instance = new_instance(&settings)?;
    let database = &settings.database;
    let page_timeout = page_timeout(&settings);
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
    let redis = RedisClient::open(settings.redis_url.as_ref())?;
    let session_secret = settings.session_secret.expose_secret().as_bytes();
    let session_key = SessionKey::derive(session_secret);
    let state = Arc::new(WebState {
        session_loader: session_loader::new_session_loader(&db, &session_key),
        session_key,
        stream_limits: StreamLimits::default(),
        overview_cache: OverviewCache::new(&db, settings.budget_ceiling),
        db: db.clone(),
        slack: slack::Client::new(&settings.slack_base_url, settings.timeout)?,
        slack_app: settings.slack_app,
        slack_base_url: settings.slack_base_url,
        login_uri: settings.login_uri,
        operators: settings.operators,
        allowed_teams: settings.allowed_teams,
        budget_ceiling: settings.budget_ceiling,
        key_rotation_interval: settings.key_rotation_interval,
        shutdown: shutdown.clone(),
        cookie_key: Key::derive_from(session_secret),
        trusted_proxies: settings.trusted_proxies,
        ip_rate_limiter: IpRateLimiter::new(redis.clone(), "pages", settings.rate_limit_per_address),
        page_timeout,
    });
    let listener = listen(settings.port).await?;

    let heartbeat = instance.run_heartbeat(db.clone(), shutdown.clone().cancelled_owned());
    let rotation =
        key_rotation::run_key_rotation_loop(db.clone(), settings.key_rotation_interval, shutdown.clone());
    let bucket =
        settings.audit.archive.map(|archive| StorageBucket::new(archive, settings.timeout)).transpose()?;
    let archiving = audit_archive::run_audit_archive_loop(
        db.clone(),
        settings.audit.retention_days,
        bucket,
        shutdown.clone(),
    );
    let server = HttpServer {
        listener,
        service: "web",
        headers: security_headers::default_headers(state.is_secure()),
        routes: routes::router(state),
        known_routes: routes::known_routes(),
        health_checks: WebHealthChecks { db: db.clone(), redis },
        metrics,
    };
    let serving = async {
        // If the server ends for any other reason, the jobs end too and the instance is deregistered.
        let _guard = shutdown.clone().drop_guard();
        server.run(shutdown.clone()).await;
    };
    tokio::join!(serving, heartbeat, rotation, archiving);
    db.close().await;
    Ok(())
}

/// Listens on the port, and initializes the counters.
async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("cannot listen on port {port}; set WEB_PORT to another one"))?;
    service::init_counters("enablebot_installs_total", "result", routes::install::failure::INSTALL_RESULTS);
    service::init_counters(db::UNPROVEN_ROWS, "table", ["sessions"]);
    tracing::info!("listening on port {port}");
    Ok(listener)
}

/// Returns the time limit of a page. A sign-in calls Slack twice, and may wait for a database connection.
fn page_timeout(settings: &WebSettings) -> Duration {
    2 * settings.timeout + settings.database.pool_timeout
}

fn new_instance(settings: &WebSettings) -> serde_json::Result<Instance> {
    let facts = SharedFacts {
        redis: settings.redis_url.as_ref().and_then(cache::display_address),
        connections: settings.database.max_connections(),
        connections_kept: settings.database.pool_size,
    };
    let host = service::instance_address(settings.port);
    Ok(Instance::new("web", env!("CARGO_PKG_VERSION"), host, serde_json::to_value(facts)?))
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
        checks.extend(HealthCheck::database_role(&health.excess_rights));
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
        if let Some(redis) = &self.redis {
            metrics::gauge!("enablebot_redis_available").set(u8::from(redis.is_available()));
        }
        if let Some(standby) = self.db.standby() {
            metrics::gauge!("enablebot_db_replica_lag_seconds").set(standby.lag.as_secs_f64());
        }
    }
}
