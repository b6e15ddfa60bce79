//! What the parts of `api` share, and how they start and end together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use cache::{Cached, Knocks, Limits, Shared};
use db::Db;
use db::replicas::{ApiFacts, Replica, SharedFacts};
use llm::Model;
use models::Outcome;
use service::{Check, Metrics, Probes, Serving};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::chat::{Desk, Guesses};
use crate::fail_point;
use crate::inbox::Inbox;
use crate::settings::{Settings, SlackApp};
use crate::{measure, routes, worker, workspaces};

/// Beyond so many, Slack's own hour has to do.
const MAX_SETTLING: usize = 1024;

/// Connections beside the pool's, for what Postgres tells of events and of changes.
const LISTENING: u32 = 2;

/// What a reply needs.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) slack: slack::Client,
    pub(crate) model: Model,
    pub(crate) limits: Limits,
    /// What each workspace is and how it wants its bot, sealed: [`workspaces::find`].
    pub(crate) workspaces: Cached,
    /// Who the app is to Slack; needed only to refresh tokens.
    pub(crate) slack_app: Option<SlackApp>,
    /// How long a stream is appended to, before the answer goes on in the next message.
    pub(crate) max_stream_age: Duration,
    /// Days between an uninstall and the deletion of the data.
    pub(crate) uninstall_grace_days: i32,
    /// Days for which finished events are kept.
    pub(crate) event_retention_days: i32,
    /// Statuses that are settled later, at most.
    pub(crate) settling: Arc<Semaphore>,
    /// Cancelled when answers in work are about to be handed to other replicas.
    pub(crate) leaving: CancellationToken,
    /// Rung when there may be something to sort into the queue.
    pub(crate) stored: Notify,
    /// Rung when there may be something to claim.
    pub(crate) bell: Notify,
}

/// Serves until `shutdown`, then hands back what is in work.
///
/// # Errors
/// The database does not answer or its schema is behind, the port is taken, or TLS cannot be set up.
pub async fn serve(settings: Settings, shutdown: CancellationToken, metrics: Metrics) -> anyhow::Result<()> {
    fail_point::arm();
    let facts = serde_json::to_value(facts(&settings))?;
    let replica = Replica::new("api", env!("CARGO_PKG_VERSION"), service::host(settings.port), facts);
    let database = &settings.database;
    let db = Db::open(
        &db::Settings {
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
    let shared = Shared::open(settings.redis_url.as_ref())?;
    let app = Arc::new(App {
        db: db.clone(),
        slack: slack::Client::new(&settings.slack_base_url, settings.timeout)?,
        model: Model::new(&settings.model, settings.timeout)?,
        limits: Limits::new(shared.clone(), settings.rate_limit_per_tenant, settings.rate_limit_global),
        workspaces: Cached::new(shared.clone(), settings.cache_ttl),
        slack_app: settings.slack_app,
        max_stream_age: settings.max_stream_age,
        uninstall_grace_days: settings.uninstall_grace_days,
        event_retention_days: settings.event_retention_days,
        settling: Arc::new(Semaphore::new(MAX_SETTLING)),
        leaving: CancellationToken::new(),
        stored: Notify::new(),
        bell: Notify::new(),
    });
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(workspaces::hear(Arc::clone(&app))));
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(measure::keep(Arc::clone(&app))));
    let listener = TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("port {} cannot be used; API_PORT names another", settings.port))?;
    count_from_zero();
    tracing::info!("listening on port {}", settings.port);

    let inbox = Inbox::open(Arc::clone(&app));
    let worker = worker::run(Arc::clone(&app), settings.max_concurrent_replies, shutdown.clone());
    let knocks = Knocks::new(shared.clone(), "keys", settings.rate_limit_per_address);
    let guesses = Guesses::new(settings.trusted_proxies, knocks);
    let desk = Desk::open(Arc::clone(&app), guesses, settings.max_concurrent_replies, shutdown.clone());
    let routes = routes::routes(settings.signing_secret, inbox, Arc::clone(&desk));
    let probes = Probing { db: db.clone(), shared };
    let serving = async {
        // However serving ends, the worker ends with it.
        let _ended = shutdown.clone().drop_guard();
        let known = routes::ROUTES.to_vec();
        let headers = headers();
        let serving = Serving { listener, service: "api", routes, known, headers, probes, metrics };
        serving.run(shutdown.clone()).await;
    };
    let keeping = replica.keep(db.clone(), shutdown.clone().cancelled_owned());
    tokio::join!(serving, worker, keeping);
    desk.close().await;
    db.close().await;
    Ok(())
}

/// Of every answer that does not have its own.
fn headers() -> Vec<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_static;
    vec![(X_CONTENT_TYPE_OPTIONS, value("nosniff")), (CACHE_CONTROL, value("no-store"))]
}

/// What `web` shows of this service, and checks keys of the model's server against.
fn facts(settings: &Settings) -> ApiFacts {
    ApiFacts {
        models: settings.model.models.clone(),
        base_url: without_password(&settings.model.base_url),
        rate_limit_per_tenant: settings.rate_limit_per_tenant.to_string(),
        rate_limit_global: settings.rate_limit_global.to_string(),
        max_concurrent_replies: settings.max_concurrent_replies,
        uninstall_grace_days: settings.uninstall_grace_days,
        event_retention_days: settings.event_retention_days,
        shared: SharedFacts {
            redis: settings.redis_url.as_ref().and_then(cache::place),
            connections: settings.database.most_connections() + LISTENING,
            connections_kept: settings.database.pool_size + LISTENING,
        },
    }
}

/// An address may hold what opens the server; nobody else needs that.
fn without_password(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return String::new() };
    let _ = (url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

fn count_from_zero() {
    service::count_from_zero("enablebot_events_total", "outcome", Outcome::ALL.map(Outcome::as_str));
    service::count_from_zero("enablebot_put_off_total", "limit", measure::LIMITS);
    for method in slack::METHODS {
        for result in slack::CALL_RESULTS {
            metrics::counter!("enablebot_slack_calls_total", "method" => method, "result" => result)
                .absolute(0);
        }
    }
}

struct Probing {
    db: Db,
    shared: Option<Shared>,
}

impl Probes for Probing {
    async fn checks(&self) -> Vec<Check> {
        let (health, redis) = tokio::join!(self.db.health(), Shared::state(self.shared.as_ref()));
        vec![
            Check::vital("database", health.database),
            Check::vital("schema", health.schema),
            Check::told("redis", redis),
        ]
    }

    async fn measure(&self) {
        let counts = self.db.connection_counts();
        metrics::gauge!("enablebot_db_connections", "state" => "busy").set(counts.busy);
        metrics::gauge!("enablebot_db_connections", "state" => "idle").set(counts.idle);
        metrics::gauge!("enablebot_db_connections_limit").set(counts.most);
        if let Some(shared) = &self.shared {
            metrics::gauge!("enablebot_redis_available").set(u8::from(shared.is_there()));
        }
        let state = async { db::events::queue_state(&mut self.db.begin_for_all().await?).await };
        match state.await {
            Ok(state) => {
                metrics::gauge!("enablebot_queue_depth").set(state.depth as f64);
                metrics::gauge!("enablebot_queue_oldest_seconds").set(state.oldest_seconds);
            }
            Err(error) => tracing::warn!(error = %error, "the queue cannot be measured"),
        }
    }
}
