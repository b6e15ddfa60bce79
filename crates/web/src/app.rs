//! What the pages share, and how `web` starts and ends.

use std::sync::Arc;

use anyhow::Context;
use db::Db;
use service::{Check, Metrics, Probes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::routes;
use crate::settings::Settings;

/// What a page needs.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) slack: slack::Client,
    pub(crate) slack_app: slack::App,
    pub(crate) slack_base_url: String,
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
            pool_size: database.pool_size,
            max_overflow: database.max_overflow,
            pool_timeout: database.pool_timeout,
        },
        settings.master_keys,
    )?;
    db.check_schema().await.context("the database is not ready")?;
    let app = Arc::new(App {
        db: db.clone(),
        slack: slack::Client::new(&settings.slack_base_url, settings.timeout)?,
        slack_app: settings.slack_app,
        slack_base_url: settings.slack_base_url,
    });
    let listener = TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("port {} cannot be used; WEB_PORT names another", settings.port))?;
    service::count_requests_from_zero(&routes::ROUTES);
    service::count_from_zero("enablebot_installs_total", "result", routes::INSTALL_RESULTS);
    tracing::info!("listening on port {}", settings.port);

    service::serve(listener, "web", routes::routes(app), DatabaseProbes(db.clone()), metrics, shutdown)
        .await?;
    db.close().await;
    Ok(())
}

struct DatabaseProbes(Db);

impl Probes for DatabaseProbes {
    async fn checks(&self) -> Vec<Check> {
        let health = self.0.health().await;
        vec![
            Check { name: "database", result: health.database },
            Check { name: "schema", result: health.schema },
        ]
    }

    async fn measure(&self) {
        let counts = self.0.connection_counts();
        metrics::gauge!("enablebot_db_connections", "state" => "busy").set(counts.busy);
        metrics::gauge!("enablebot_db_connections", "state" => "idle").set(counts.idle);
    }
}
