//! The table `instances`: the running processes of `api` and `web`, and the settings that others need to
//! know.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::{Db, DbError, Tx, keys};

/// Time between two heartbeats.
const INSTANCE_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Timeout of a heartbeat: the shutdown waits for it.
const INSTANCE_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);

/// Minutes after which a silent process is considered dead.
const INSTANCE_DEAD_AFTER_MINUTES: i32 = 10;

/// A process of one of the two services.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Id of the process.
    pub instance_id: Uuid,
    /// `api` or `web`.
    pub service: String,
    /// Version of the build.
    pub version: String,
    /// Host name.
    pub host: String,
    /// Start time.
    pub started_at: DateTime<Utc>,
    /// Time of the last heartbeat.
    pub seen_at: DateTime<Utc>,
    /// Settings that others need to know.
    pub facts: Value,
}

/// Settings of `api` that the other service needs to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiFacts {
    /// `OPENAI_MODEL`, followed by the fallback models in the order in which they are tried.
    pub models: Vec<String>,
    /// `OPENAI_BASE_URL`.
    pub base_url: String,
    /// `RATE_LIMIT_PER_TENANT`.
    pub rate_limit_per_tenant: String,
    /// `RATE_LIMIT_GLOBAL`.
    pub rate_limit_global: String,
    /// `MAX_CONCURRENT_REPLIES`.
    pub max_concurrent_replies: u32,
    /// `UNINSTALL_GRACE_DAYS`.
    pub uninstall_grace_days: i32,
    /// `EVENT_RETENTION_DAYS`.
    pub event_retention_days: i32,
    /// Facts that all services have.
    #[serde(flatten)]
    pub shared: SharedFacts,
}

/// Use of shared resources by a process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedFacts {
    /// Address from `REDIS_URL`, without credentials.
    pub redis: Option<String>,
    /// Maximum number of connections to Postgres.
    pub connections: u32,
    /// Connections to Postgres that are kept open.
    pub connections_kept: u32,
}

impl Instance {
    /// Returns the process's use of shared resources; the default if its release does not report it.
    pub fn shared_facts(&self) -> SharedFacts {
        serde_json::from_value(self.facts.clone()).unwrap_or_default()
    }
}

impl Instance {
    /// Creates the record of this process.
    pub fn new(service: &str, version: &str, host: String, facts: Value) -> Self {
        let (service, version) = (service.to_owned(), version.to_owned());
        let started_at = Utc::now();
        Self { instance_id: Uuid::new_v4(), service, version, host, started_at, seen_at: started_at, facts }
    }

    /// Sends heartbeats until `end`, then deregisters.
    pub async fn run_heartbeat(self, db: Db, end: impl Future<Output = ()>) {
        let mut ticks = interval(INSTANCE_HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut end => break,
            }
            if let Err(error) = commit_within_timeout(&db, async |tx| heartbeat(tx, &self).await).await {
                tracing::warn!(error = %error, "instance heartbeat failed");
            }
            if let Err(error) = commit_within_timeout(&db, async |tx| keys::evict_deleted(tx).await).await {
                tracing::warn!(error = %error, "evicting deleted keys failed");
            }
        }
        // If this fails, the instance is dropped after ten minutes.
        let _ = commit_within_timeout(&db, async |tx| deregister(tx, self.instance_id).await).await;
    }
}

async fn commit_within_timeout(
    db: &Db,
    work: impl AsyncFnOnce(&mut Tx) -> Result<(), DbError>,
) -> Result<(), DbError> {
    let written = async {
        let mut tx = db.begin_cross_tenant().await?;
        work(&mut tx).await?;
        tx.commit().await
    };
    timeout(INSTANCE_HEARTBEAT_TIMEOUT, written).await.unwrap_or(Err(DbError::Timeout))
}

/// Records a heartbeat, and drops dead instances.
pub async fn heartbeat(tx: &mut Tx, instance: &Instance) -> Result<(), DbError> {
    sqlx::query!(
        "insert into instances (instance_id, service, version, host, started_at, facts) values ($1, $2, $3, $4, $5, $6)
         on conflict (instance_id) do update set seen_at = now()",
        instance.instance_id,
        instance.service,
        instance.version,
        instance.host,
        instance.started_at,
        instance.facts,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from instances where seen_at < now() - make_interval(mins => $1)",
        INSTANCE_DEAD_AFTER_MINUTES
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes an instance that shuts down.
pub async fn deregister(tx: &mut Tx, instance_id: Uuid) -> Result<(), DbError> {
    sqlx::query!("delete from instances where instance_id = $1", instance_id).execute(tx).await?;
    Ok(())
}

/// Lists the instances with a heartbeat in the last ten minutes.
pub async fn list(tx: &mut Tx) -> Result<Vec<Instance>, DbError> {
    Ok(sqlx::query_as!(
        Instance,
        "select instance_id, service, version, host, started_at, seen_at, facts from instances
         where seen_at > now() - make_interval(mins => $1) order by service, started_at",
        INSTANCE_DEAD_AFTER_MINUTES,
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the facts of the `api` that started last; `None` if none is running.
pub async fn find_api_facts(tx: &mut Tx) -> Result<Option<ApiFacts>, DbError> {
    let facts = sqlx::query_scalar!(
        "select facts from instances where service = 'api' and seen_at > now() - make_interval(mins => $1)
         order by started_at desc limit 1",
        INSTANCE_DEAD_AFTER_MINUTES,
    )
    .fetch_optional(tx)
    .await?;
    Ok(facts.map(serde_json::from_value).transpose()?)
}
