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

use crate::keys::KeyCache;
use crate::primary_monitor::{Addresses, Failover};
use crate::standby::{self, Stale, Standby, StandbyState};
use crate::{DbError, sql_literal};

/// Begins a transaction with its limits, in one message; a pooler keeps nothing that is set for a session. A statement
/// has ten seconds. A transaction that nobody goes on with, because its process stands still, lets go of its locks.
const BEGIN: &str = "begin; set local statement_timeout = '10s';
    set local idle_in_transaction_session_timeout = '5s'; ";

/// The same, for what a standby may answer too.
const BEGIN_READ_ONLY: &str = "begin read only; set local statement_timeout = '10s';
    set local idle_in_transaction_session_timeout = '5s'; ";

/// Where the tables are.
const SET_SEARCH_PATH: &str = "set local search_path = enablebot, pg_temp; ";

/// And as whom all tenants' rows are seen; see `migrations/0028_row_security.sql`.
pub(crate) const SET_SERVICE_ROLE: &str =
    "set local search_path = enablebot, pg_temp; set local role enablebot_service; ";

/// And as whom only those of the tenant are whose id comes behind it.
const SET_TENANT_ROLE: &str = "set local role enablebot_tenant; set local enablebot.tenant_id = ";

/// A statement has ten seconds; what takes longer than this waits for a connection that is dead and does not say so.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Waits for a transaction, but not for ever.
///
/// # Errors
/// Its own, or [`DbError::Timeout`].
pub async fn with_timeout<T>(transaction: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    timeout(TRANSACTION_TIMEOUT, transaction).await.unwrap_or(Err(DbError::Timeout))
}

/// A connection that was used within this time is taken for alive.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct DbSettings {
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
    direct_addresses: Addresses,
    /// Whether those are others than the pool's.
    has_direct_url: bool,
    /// Whether the pool's sessions are known to be one's own, with no pooler between.
    has_session_affinity: Arc<AtomicBool>,
    standby: Option<Standby>,
    keys: KeyCache,
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
    pub max: u32,
}

impl Db {
    /// Opens the pool without waiting for Postgres: whether it answers is what readiness asks.
    ///
    /// # Errors
    /// An address that cannot be read.
    pub fn open(settings: &DbSettings, keys: impl KeyProvider + 'static) -> Result<Self, DbError> {
        let addresses = Addresses::parse(&settings.urls)?;
        let moved = Failover::default();
        let pool = open_pool(settings, addresses.first(), moved.clone(), settings.pool_timeout);
        tokio::spawn(addresses.follow_primary(pool.clone(), moved));
        let texts =
            |urls: &[SecretString]| urls.iter().map(|url| url.expose_secret().to_owned()).collect::<Vec<_>>();
        let is_direct_named = texts(&settings.urls) != texts(&settings.direct_urls);
        let direct = Addresses::parse(&settings.direct_urls)?;
        let keys = KeyCache::new(Arc::new(keys));
        let mut db = Self {
            pool,
            direct_addresses: direct,
            has_direct_url: is_direct_named,
            has_session_affinity: Arc::default(),
            standby: None,
            keys,
        };
        if let Some(url) = &settings.read_url {
            let address = Addresses::parse(std::slice::from_ref(url))?.first().clone();
            let pool = open_pool(settings, &address, Failover::default(), standby::STANDBY_TIMEOUT);
            db.standby = Some(Standby::monitor(pool, address, db.clone()));
        }
        Ok(db)
    }

    /// Begins a transaction that sees and changes this tenant's rows, and no other's; dropped without [`Tx::commit`], it is
    /// rolled back.
    pub async fn begin(&self, tenant_id: &TenantId) -> Result<Tx, DbError> {
        self.begin_with(format!("{BEGIN}{}", tenant_prelude(tenant_id))).await
    }

    /// Answers a question about this tenant's rows from the standby, or from the primary where there is none or it has no
    /// answer; so it may be asked twice. The transaction is for reading only.
    pub async fn read<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        tenant_id: &TenantId,
        ask: impl Fn(Tx) -> F,
    ) -> Result<Stale<T>, DbError> {
        self.read_with(format!("{BEGIN_READ_ONLY}{}", tenant_prelude(tenant_id)), ask).await
    }

    /// The same over all tenants.
    pub async fn read_cross_tenant<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        ask: impl Fn(Tx) -> F,
    ) -> Result<Stale<T>, DbError> {
        self.read_with(format!("{BEGIN_READ_ONLY}{SET_SERVICE_ROLE}"), ask).await
    }

    /// The same database, of which only the primary is asked: for whoever must see what was committed a moment ago.
    #[must_use]
    pub fn primary_only(&self) -> Self {
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
    ) -> Result<Stale<T>, DbError> {
        if let Some(standby) = &self.standby
            && let Some(age) = standby.usable_lag()
        {
            let asked = async { ask(self.begin_on(standby.pool(), sql.clone(), false).await?).await };
            match standby.cancel_if_lost(asked).await {
                Ok(value) => return Ok(Stale { value, age }),
                Err(error) => {
                    tracing::warn!(error = %error, "the standby has no answer: the primary is asked")
                }
            }
        }
        let value = ask(self.begin_with(sql).await?).await?;
        Ok(Stale { value, age: Duration::ZERO })
    }

    /// Begins a transaction over all tenants: for what is asked before the tenant is known, and for what serves them all.
    pub async fn begin_cross_tenant(&self) -> Result<Tx, DbError> {
        self.begin_with(format!("{BEGIN}{SET_SERVICE_ROLE}")).await
    }

    /// Begins a transaction as the role of `DATABASE_URL`: what it finds may be from before there were others.
    pub(crate) async fn begin_as_owner(&self) -> Result<Tx, DbError> {
        self.begin_with(format!("{BEGIN}{SET_SEARCH_PATH}")).await
    }

    async fn begin_with(&self, sql: String) -> Result<Tx, DbError> {
        self.begin_on(&self.pool, sql, self.has_session_affinity.load(Ordering::Relaxed)).await
    }

    async fn begin_on(&self, pool: &PgPool, sql: String, keeps_plans: bool) -> Result<Tx, DbError> {
        // On a task of its own, which is never left half-way: sqlx takes a connection that was left while it began back
        // into the pool without a rollback, and whoever got it next would be in a transaction that nobody commits.
        let pool = pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(sql)).await }).await;
        Ok(Tx {
            inner: begun.map_err(|_| DbError::Timeout)??,
            keys: self.keys.clone(),
            is_prepared: keeps_plans,
        })
    }

    /// How the connections are used now.
    pub fn connection_counts(&self) -> ConnectionCounts {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let most = self.pool.options().get_max_connections();
        ConnectionCounts { busy: self.pool.size().saturating_sub(idle), idle, max: most }
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

    pub(crate) fn keys(&self) -> &KeyCache {
        &self.keys
    }

    pub(crate) fn has_direct_url(&self) -> bool {
        self.has_direct_url
    }

    /// Tells whether the way of `DATABASE_URL` leads to sessions of one's own, as somebody has found out who opened one.
    pub(crate) fn set_session_affinity(&self, has_own_sessions: bool) {
        self.has_session_affinity.store(has_own_sessions, Ordering::Relaxed);
    }

    pub(crate) fn direct_addresses(&self) -> &Addresses {
        &self.direct_addresses
    }
}

fn open_pool(
    settings: &DbSettings,
    address: &PgConnectOptions,
    moved: Failover,
    timeout: Duration,
) -> PgPool {
    PgPoolOptions::new()
        .min_connections(settings.pool_size)
        .max_connections(settings.pool_size + settings.max_overflow)
        .acquire_timeout(timeout)
        // Else each transaction would ask first whether its connection is alive.
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_current = moved.is_connection_current(metadata.age);
            Box::pin(async move {
                if is_current && metadata.idle_for > MAX_UNCHECKED_IDLE {
                    connection.ping().await?;
                }
                Ok(is_current)
            })
        })
        .connect_lazy_with(address.clone())
}

fn tenant_prelude(tenant_id: &TenantId) -> String {
    let mut sql = format!("{SET_SEARCH_PATH}{SET_TENANT_ROLE}");
    sql_literal::push_text(&mut sql, tenant_id.as_str());
    sql
}

/// A transaction. It holds the keys to what is sealed.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    keys: KeyCache,
    is_prepared: bool,
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
    pub(crate) async fn disable_statement_timeout(&mut self) -> Result<(), DbError> {
        sqlx::query("set local statement_timeout = 0").execute(self).await?;
        Ok(())
    }

    /// Whether a statement gets a name, by which the session knows its plan in the next transaction too.
    pub(crate) fn is_prepared(&self) -> bool {
        self.is_prepared
    }

    /// Has what follows planned by what is in the tables now. A plan that is kept knows them as they were, perhaps empty, until
    /// Postgres looks at them again, which may take a minute.
    pub(crate) fn disable_prepared(&mut self) {
        self.is_prepared = false;
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(crate) fn keys(&self) -> KeyCache {
        self.keys.clone()
    }

    pub(crate) fn master_keys(&self) -> Arc<dyn KeyProvider> {
        self.keys.master()
    }
}
