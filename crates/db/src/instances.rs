//! The table `replicas`: the processes of `api` and `web` that run just now, and what others need to know of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::{Db, DbError, Tx, keys};

/// Between two signs of life.
const INSTANCE_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// How long one may take: whoever ends waits for it.
const INSTANCE_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);

/// Minutes after which a process is taken for dead.
const INSTANCE_DEAD_AFTER_MINUTES: i32 = 10;

/// A process of one of the two services.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Names the process.
    pub replica_id: Uuid,
    /// `api` or `web`.
    pub service: String,
    /// What it was built from.
    pub version: String,
    /// Where it runs.
    pub host: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub seen_at: DateTime<Utc>,
    /// What others need to know of its settings.
    pub facts: Value,
}

/// What the other service needs to know of `api`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiFacts {
    /// `OPENAI_MODEL`, then those that stand in for it, in the order in which they are tried.
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
    /// What it shares with all others.
    #[serde(flatten)]
    pub shared: SharedFacts,
}

/// What each process takes of what all of them share.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedFacts {
    /// Where `REDIS_URL` leads, without what opens it.
    pub redis: Option<String>,
    /// The connections to Postgres that it opens at most.
    pub connections: u32,
    /// And those that it keeps.
    pub connections_kept: u32,
}

impl Instance {
    /// What it takes of what all share; nothing where it is of a release that does not tell.
    pub fn shared_facts(&self) -> SharedFacts {
        serde_json::from_value(self.facts.clone()).unwrap_or_default()
    }
}

/// By this a process says that it knows of `event_history`; while one does not, nothing moves there.
const READS_HISTORY_FLAG: &str = "reads_event_history";

impl Instance {
    /// This process, from now on.
    pub fn new(service: &str, version: &str, host: String, mut facts: Value) -> Self {
        facts[READS_HISTORY_FLAG] = true.into();
        let (service, version) = (service.to_owned(), version.to_owned());
        let started_at = Utc::now();
        Self { replica_id: Uuid::new_v4(), service, version, host, started_at, seen_at: started_at, facts }
    }

    /// Notes itself now and then until `end`, and takes itself out then.
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
                tracing::warn!(error = %error, "this replica cannot be noted");
            }
            if let Err(error) = commit_within_timeout(&db, async |tx| keys::evict_deleted(tx).await).await {
                tracing::warn!(error = %error, "keys that are gone cannot be forgotten");
            }
        }
        // Whoever cannot be reached now is dropped in ten minutes.
        let _ = commit_within_timeout(&db, async |tx| deregister(tx, self.replica_id).await).await;
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

/// Says that a replica lives, and drops those that are dead.
pub async fn heartbeat(tx: &mut Tx, replica: &Instance) -> Result<(), DbError> {
    sqlx::query!(
        "insert into replicas (replica_id, service, version, host, started_at, facts) values ($1, $2, $3, $4, $5, $6)
         on conflict (replica_id) do update set seen_at = now()",
        replica.replica_id,
        replica.service,
        replica.version,
        replica.host,
        replica.started_at,
        replica.facts,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from replicas where seen_at < now() - make_interval(mins => $1)",
        INSTANCE_DEAD_AFTER_MINUTES
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a replica out that ends.
pub async fn deregister(tx: &mut Tx, replica_id: Uuid) -> Result<(), DbError> {
    sqlx::query!("delete from replicas where replica_id = $1", replica_id).execute(tx).await?;
    Ok(())
}

/// Those that were heard of within ten minutes.
pub async fn list(tx: &mut Tx) -> Result<Vec<Instance>, DbError> {
    Ok(sqlx::query_as!(
        Instance,
        "select replica_id, service, version, host, started_at, seen_at, facts from replicas
         where seen_at > now() - make_interval(mins => $1) order by service, started_at",
        INSTANCE_DEAD_AFTER_MINUTES,
    )
    .fetch_all(tx)
    .await?)
}

/// What the `api` that was started last is set to; `None` while none runs.
pub async fn find_api_facts(tx: &mut Tx) -> Result<Option<ApiFacts>, DbError> {
    let facts = sqlx::query_scalar!(
        "select facts from replicas where service = 'api' and seen_at > now() - make_interval(mins => $1)
         order by started_at desc limit 1",
        INSTANCE_DEAD_AFTER_MINUTES,
    )
    .fetch_optional(tx)
    .await?;
    Ok(facts.map(serde_json::from_value).transpose()?)
}
