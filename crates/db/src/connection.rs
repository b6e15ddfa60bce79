//! The pool, and the transaction in which every query runs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crypto::KeyProvider;
use models::TenantId;
use secrecy::{ExposeSecret, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use crate::addresses::{Addresses, Moved};
use crate::keys::Keys;
use crate::standby::{self, Seen, Standby, StandbyState};
use crate::{DbError, literal};

/// Begins a transaction with its limits, in one message; a pooler keeps nothing that is set for a session. A statement
/// has ten seconds. A transaction that nobody goes on with, because its process stands still, lets go of its locks.
const BEGIN: &str = "begin; set local statement_timeout = '10s';
    set local idle_in_transaction_session_timeout = '5s'; ";

/// The same, for what a standby may answer too.
const BEGIN_READING: &str = "begin read only; set local statement_timeout = '10s';
    set local idle_in_transaction_session_timeout = '5s'; ";

/// Where the tables are.
const SCHEMA: &str = "set local search_path = enablebot, pg_temp; ";

/// And as whom all tenants' rows are seen; see `migrations/0028_row_security.sql`.
pub(crate) const FOR_ALL: &str =
    "set local search_path = enablebot, pg_temp; set local role enablebot_service; ";

/// And as whom only those of the tenant are whose id comes behind it.
const FOR_TENANT: &str = "set local role enablebot_tenant; set local enablebot.tenant_id = ";

/// A statement has ten seconds; what takes longer than this waits for a connection that is dead and does not say so.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for a transaction, but not for ever.
///
/// # Errors
/// Its own, or [`DbError::Silent`].
pub async fn in_time<T>(transaction: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    timeout(PATIENCE, transaction).await.unwrap_or(Err(DbError::Silent))
}

/// A connection that was used within this time is taken for alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses of `DATABASE_URL`; a transaction pooler may stand behind them.
    pub urls: Vec<SecretString>,
    /// Those of `DATABASE_DIRECT_URL`: a session of one's own, for migrations and LISTEN.
    pub direct_urls: Vec<SecretString>,
    /// `DATABASE_READ_URL`: a standby, with a pool of the same size.
    pub read_url: Option<SecretString>,
    /// Connections kept.
    pub pool_size: u32,
    /// Connections beyond those, under load.
    pub max_overflow: u32,
    /// How long to wait for a connection.
    pub pool_timeout: Duration,
}

/// Postgres with the keys to what is sealed in it. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    direct: Addresses,
    /// Whether those are others than the pool's.
    is_direct_named: bool,
    /// Whether the pool's sessions are known to be one's own, with no pooler between.
    has_own_sessions: Arc<AtomicBool>,
    standby: Option<Standby>,
    keys: Keys,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Db")
    }
}

/// How the pool's connections are used, for `enablebot_db_connections{state}`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionCounts {
    /// In a transaction.
    pub busy: u32,
    /// Waiting for one.
    pub idle: u32,
    /// How many there may be.
    pub most: u32,
}

impl Db {
    /// Opens the pool without waiting for Postgres: whether it answers is what readiness asks.
    ///
    /// # Errors
    /// An address that cannot be read.
    pub fn open(settings: &Settings, keys: impl KeyProvider + 'static) -> Result<Self, DbError> {
        let addresses = Addresses::read(&settings.urls)?;
        let moved = Moved::default();
        let pool = open_pool(settings, addresses.first(), moved.clone(), settings.pool_timeout);
        tokio::spawn(addresses.lead(pool.clone(), moved));
        let texts =
            |urls: &[SecretString]| urls.iter().map(|url| url.expose_secret().to_owned()).collect::<Vec<_>>();
        let is_direct_named = texts(&settings.urls) != texts(&settings.direct_urls);
        let direct = Addresses::read(&settings.direct_urls)?;
        let keys = Keys::new(Arc::new(keys));
        let mut db =
            Self { pool, direct, is_direct_named, has_own_sessions: Arc::default(), standby: None, keys };
        if let Some(url) = &settings.read_url {
            let address = Addresses::read(std::slice::from_ref(url))?.first().clone();
            let pool = open_pool(settings, &address, Moved::default(), standby::PATIENCE);
            db.standby = Some(Standby::follow(pool, address, db.clone()));
        }
        Ok(db)
    }

    /// Begins a transaction that sees and changes this tenant's rows, and no other's; dropped without [`Tx::commit`], it is
    /// rolled back.
    pub async fn begin(&self, tenant_id: &TenantId) -> Result<Tx, DbError> {
        self.begin_with(format!("{BEGIN}{}", for_tenant(tenant_id))).await
    }

    /// Answers a question about this tenant's rows from the standby, or from the primary where there is none or it has no
    /// answer; so it may be asked twice. The transaction is for reading only.
    pub async fn read<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        tenant_id: &TenantId,
        ask: impl Fn(Tx) -> F,
    ) -> Result<Seen<T>, DbError> {
        self.read_with(format!("{BEGIN_READING}{}", for_tenant(tenant_id)), ask).await
    }

    /// The same over all tenants.
    pub async fn read_for_all<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        ask: impl Fn(Tx) -> F,
    ) -> Result<Seen<T>, DbError> {
        self.read_with(format!("{BEGIN_READING}{FOR_ALL}"), ask).await
    }

    /// The same database, of which only the primary is asked: for whoever must see what was committed a moment ago.
    #[must_use]
    pub fn without_standby(&self) -> Self {
        Self { standby: None, ..self.clone() }
    }

    /// How the standby is; `None` where none is named.
    pub fn standby(&self) -> Option<StandbyState> {
        self.standby.as_ref().map(Standby::state)
    }

    async fn read_with<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        sql: String,
        ask: impl Fn(Tx) -> F,
    ) -> Result<Seen<T>, DbError> {
        if let Some(standby) = &self.standby
            && let Some(age) = standby.age()
        {
            let asked = async { ask(self.begin_in(standby.pool(), sql.clone(), false).await?).await };
            match standby.unless_lost(asked).await {
                Ok(value) => return Ok(Seen { value, age }),
                Err(error) => {
                    tracing::warn!(error = %error, "the standby has no answer: the primary is asked")
                }
            }
        }
        let value = ask(self.begin_with(sql).await?).await?;
        Ok(Seen { value, age: Duration::ZERO })
    }

    /// Begins a transaction over all tenants: for what is asked before the tenant is known, and for what serves them all.
    pub async fn begin_for_all(&self) -> Result<Tx, DbError> {
        self.begin_with(format!("{BEGIN}{FOR_ALL}")).await
    }

    /// Begins a transaction as the role of `DATABASE_URL`: what it finds may be from before there were others.
    pub(crate) async fn begin_as_itself(&self) -> Result<Tx, DbError> {
        self.begin_with(format!("{BEGIN}{SCHEMA}")).await
    }

    async fn begin_with(&self, sql: String) -> Result<Tx, DbError> {
        self.begin_in(&self.pool, sql, self.has_own_sessions.load(Ordering::Relaxed)).await
    }

    async fn begin_in(&self, pool: &PgPool, sql: String, keeps_plans: bool) -> Result<Tx, DbError> {
        // On a task of its own, which is never left half-way: sqlx takes a connection that was left while it began back
        // into the pool without a rollback, and whoever got it next would be in a transaction that nobody commits.
        let pool = pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(sql)).await }).await;
        Ok(Tx { inner: begun.map_err(|_| DbError::Silent)??, keys: self.keys.clone(), keeps_plans })
    }

    /// How the connections are used now.
    pub fn connection_counts(&self) -> ConnectionCounts {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let most = self.pool.options().get_max_connections();
        ConnectionCounts { busy: self.pool.size().saturating_sub(idle), idle, most }
    }

    /// Closes every connection and waits for that.
    pub async fn close(&self) {
        if let Some(standby) = &self.standby {
            standby.pool().close().await;
        }
        self.pool.close().await;
    }

    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, DbError> {
        Ok(self.pool.acquire().await?)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn is_direct_named(&self) -> bool {
        self.is_direct_named
    }

    /// Tells whether the way of `DATABASE_URL` leads to sessions of one's own, as somebody has found out who opened one.
    pub(crate) fn note_own_sessions(&self, has_own_sessions: bool) {
        self.has_own_sessions.store(has_own_sessions, Ordering::Relaxed);
    }

    pub(crate) fn direct(&self) -> &Addresses {
        &self.direct
    }
}

fn open_pool(settings: &Settings, address: &PgConnectOptions, moved: Moved, timeout: Duration) -> PgPool {
    PgPoolOptions::new()
        .min_connections(settings.pool_size)
        .max_connections(settings.pool_size + settings.max_overflow)
        .acquire_timeout(timeout)
        // Else each transaction would ask first whether its connection is alive.
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_current = moved.is_before(metadata.age);
            Box::pin(async move {
                if is_current && metadata.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(is_current)
            })
        })
        .connect_lazy_with(address.clone())
}

fn for_tenant(tenant_id: &TenantId) -> String {
    let mut sql = format!("{SCHEMA}{FOR_TENANT}");
    literal::push_text(&mut sql, tenant_id.as_str());
    sql
}

/// A transaction. It holds the keys to what is sealed.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    keys: Keys,
    keeps_plans: bool,
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

impl Tx {
    /// Commits; only after this is anything acknowledged.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.inner.commit().await?)
    }

    /// Lets statements take their time: for work in bulk.
    pub(crate) async fn unhurried(&mut self) -> Result<(), DbError> {
        sqlx::query("set local statement_timeout = 0").execute(self).await?;
        Ok(())
    }

    /// Whether a statement gets a name, by which the session knows its plan in the next transaction too.
    pub(crate) fn keeps_plans(&self) -> bool {
        self.keeps_plans
    }

    /// Has what follows planned by what is in the tables now. A plan that is kept knows them as they were, perhaps empty, until
    /// Postgres looks at them again, which may take a minute.
    pub(crate) fn plan_anew(&mut self) {
        self.keeps_plans = false;
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    pub(crate) fn master_keys(&self) -> Arc<dyn KeyProvider> {
        self.keys.master()
    }
}
