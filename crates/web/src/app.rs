//! What the pages share, and how `web` starts and ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_extra::extract::cookie::Key;
use cache::{Knocks, Shared};
use chrono::TimeDelta;
use db::Db;
use db::replicas::{Replica, SharedFacts};
use secrecy::ExposeSecret;
use service::{Check, Metrics, Probes, Serving, TrustedProxies};
use storage::Bucket;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::door::{self, Door};
use crate::headers;
use crate::operators::Operators;
use crate::overviews::Overviews;
use crate::settings::{LOGIN_PATH, Settings};
use crate::{audit, rotation, routes};

/// What a page needs.
pub(crate) struct App {
    pub(crate) db: Db,
    /// Who is signed in.
    pub(crate) door: Door,
    /// What was told of late.
    pub(crate) told: Overviews,
    pub(crate) slack: slack::Client,
    pub(crate) slack_app: slack::App,
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
    pub(crate) knocks: Knocks,
    /// How long a page may take.
    pub(crate) page_deadline: Duration,
}

impl App {
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
pub async fn serve(settings: Settings, shutdown: CancellationToken, metrics: Metrics) -> anyhow::Result<()> {
    let database = &settings.database;
    let db = Db::open(
        &db::Settings {
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
    let shared = Shared::open(settings.redis_url.as_ref())?;
    let app = Arc::new(App {
        door: door::open(&db),
        told: Overviews::of(&db),
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
        knocks: Knocks::new(shared.clone(), "pages", settings.rate_limit_per_address),
        // A sign-in asks Slack twice, and may wait for a connection to the database.
        page_deadline: 2 * settings.timeout + database.pool_timeout,
    });
    let listener = TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("port {} cannot be used; WEB_PORT names another", settings.port))?;
    service::count_from_zero("enablebot_installs_total", "result", routes::INSTALL_RESULTS);
    tracing::info!("listening on port {}", settings.port);

    let probes = Probing { db: db.clone(), shared };
    let headers = headers::of_every_answer(app.is_secure());
    let routes = routes::routes(app);
    let host = service::host(settings.port);
    let facts = SharedFacts {
        redis: settings.redis_url.as_ref().and_then(cache::place),
        connections: settings.database.most_connections(),
        connections_kept: settings.database.pool_size,
    };
    let replica = Replica::new("web", env!("CARGO_PKG_VERSION"), host, serde_json::to_value(facts)?);
    let keeping = replica.keep(db.clone(), shutdown.clone().cancelled_owned());
    let bucket = settings.audit.archive.map(|archive| Bucket::new(archive, settings.timeout)).transpose()?;
    let archiving = audit::keep(db.clone(), settings.audit.retention_days, bucket, shutdown.clone());
    let rotating = rotation::keep(db.clone(), settings.key_rotation_interval, shutdown.clone());
    let serving = async {
        // However serving ends, the replica is taken out with it.
        let _ended = shutdown.clone().drop_guard();
        let known = routes::known();
        let serving = Serving { listener, service: "web", routes, known, headers, probes, metrics };
        serving.run(shutdown.clone()).await;
    };
    tokio::join!(serving, keeping, rotating, archiving);
    db.close().await;
    Ok(())
}

struct Probing {
    db: Db,
    shared: Option<Shared>,
}

impl Probes for Probing {
    async fn checks(&self) -> Vec<Check> {
        let (health, redis) = tokio::join!(self.db.health(), Shared::state(self.shared.as_ref()));
        let mut checks = vec![
            Check::vital("database", health.database),
            Check::vital("schema", health.schema),
            Check::told("redis", redis),
        ];
        checks.extend(self.db.standby().map(|standby| Check::told("replica", standby.to_string())));
        checks
    }

    async fn measure(&self) {
        let counts = self.db.connection_counts();
        metrics::gauge!("enablebot_db_connections", "state" => "busy").set(counts.busy);
        metrics::gauge!("enablebot_db_connections", "state" => "idle").set(counts.idle);
        metrics::gauge!("enablebot_db_connections_limit").set(counts.most);
        if let Some(shared) = &self.shared {
            metrics::gauge!("enablebot_redis_available").set(u8::from(shared.is_there()));
        }
        if let Some(standby) = self.db.standby() {
            metrics::gauge!("enablebot_db_replica_lag_seconds").set(standby.lag.as_secs_f64());
        }
    }
}
