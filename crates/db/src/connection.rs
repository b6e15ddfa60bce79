//! The connection pool, and the transaction in which every query runs.

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

const BEGIN: &str = "begin; ";

/// Begins a transaction that a standby can run too.
const BEGIN_READ_ONLY: &str = "begin read only; ";

/// Limits a transaction: 10 seconds per statement, and an idle timeout that frees the locks of a process that
/// hangs. A transaction pooler keeps no session settings, so each transaction sets its own, in the round trip
/// that begins it.
const SET_LIMITS: &str = "set local statement_timeout = '10s';
    set local idle_in_transaction_session_timeout = '5s'; ";

/// Sets the schema of the tables.
pub(crate) const SET_SEARCH_PATH: &str = "set local search_path = enablebot, pg_temp; ";

/// Sets the role that sees the rows of all tenants; see `migrations/0007_row_security.sql`.
pub(crate) const SET_SERVICE_ROLE: &str = "set local role enablebot_service; ";

/// Sets the role that sees one tenant's rows; the tenant id is appended.
const SET_TENANT_ROLE: &str = "set local role enablebot_tenant; set local enablebot.tenant_id = ";

/// Limit of a whole transaction. A statement has 10 seconds, so a longer wait means a dead connection that
/// reports no error.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs a transaction with a timeout.
///
/// # Errors
/// The transaction's own error, or [`DbError::Timeout`].
pub async fn with_timeout<T>(transaction: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    timeout(TRANSACTION_TIMEOUT, transaction).await.unwrap_or(Err(DbError::Timeout))
}

/// A connection used within this time is assumed to be alive.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// Connection settings of Postgres.
#[derive(Clone, Debug)]
pub struct DbSettings {
    /// Addresses from `DATABASE_URL`; these may lead to a transaction pooler.
    pub urls: Vec<SecretString>,
    /// Addresses from `DATABASE_DIRECT_URL`, without a pooler, for migrations and LISTEN.
    pub direct_urls: Vec<SecretString>,
    /// Address of a standby from `DATABASE_READ_URL`; its pool has the same size.
    pub read_url: Option<SecretString>,
    /// Connections that are kept open.
    pub pool_size: u32,
    /// Additional connections under load.
    pub max_overflow: u32,
    /// Longest wait for a connection.
    pub pool_timeout: Duration,
}

/// The database, with the keys to its encrypted columns. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    direct_addresses: Addresses,
    /// True if the direct addresses differ from the pool's.
    has_direct_url: bool,
    /// True once it is known that no transaction pooler is between the pool and Postgres.
    has_session_affinity: Arc<AtomicBool>,
    standby: Option<Standby>,
    keys: KeyCache,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Db")
    }
}

/// Use of the pool's connections, for `enablebot_db_connections{state}`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionCounts {
    /// Connections in a transaction.
    pub busy: u32,
    /// Connections waiting to be used.
    pub idle: u32,
    /// Maximum number of connections.
    pub max: u32,
}

impl Db {
    /// Opens the pool without waiting for Postgres; the readiness check tests whether it responds.
    ///
    /// # Errors
    /// An address cannot be parsed.
    pub fn open(settings: &DbSettings, keys: impl KeyProvider + 'static) -> Result<Self, DbError> {
        let addresses = Addresses::parse(&settings.urls)?;
        let failover = Failover::default();
        let pool = open_pool(settings, addresses.first(), failover.clone(), settings.pool_timeout);
        tokio::spawn(addresses.follow_primary(pool.clone(), failover));
        let expose =
            |urls: &[SecretString]| urls.iter().map(|url| url.expose_secret().to_owned()).collect::<Vec<_>>();
        let has_direct_url = expose(&settings.urls) != expose(&settings.direct_urls);
        let direct_addresses = Addresses::parse(&settings.direct_urls)?;
        let keys = KeyCache::new(Arc::new(keys));
        let mut db = Self {
            pool,
            direct_addresses,
            has_direct_url,
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

    /// Begins a transaction limited to this tenant's rows. It is rolled back if dropped without
    /// [`Tx::commit`].
    pub async fn begin(&self, tenant_id: &TenantId) -> Result<Tx, DbError> {
        self.begin_with(begin_sql(BEGIN, &tenant_role(tenant_id))).await
    }

    /// Runs a read-only query over this tenant's rows on the standby. Falls back to the primary if there is
    /// no standby or it fails, so `query` may run twice.
    pub async fn read<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        tenant_id: &TenantId,
        query: impl Fn(Tx) -> F,
    ) -> Result<Stale<T>, DbError> {
        self.read_with(begin_sql(BEGIN_READ_ONLY, &tenant_role(tenant_id)), query).await
    }

    /// Runs a read-only query over all tenants, like [`Db::read`].
    pub async fn read_cross_tenant<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        query: impl Fn(Tx) -> F,
    ) -> Result<Stale<T>, DbError> {
        self.read_with(begin_sql(BEGIN_READ_ONLY, SET_SERVICE_ROLE), query).await
    }

    /// Returns a handle that never reads from the standby, for callers that must see recent commits.
    #[must_use]
    pub fn primary_only(&self) -> Self {
        Self { standby: None, ..self.clone() }
    }

    /// Returns the state of the standby; `None` if none is configured.
    pub fn standby(&self) -> Option<StandbyState> {
        self.standby.as_ref().map(Standby::state)
    }

    async fn read_with<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        sql: String,
        query: impl Fn(Tx) -> F,
    ) -> Result<Stale<T>, DbError> {
        if let Some(standby) = &self.standby
            && let Some(age) = standby.usable_lag()
        {
            let result = async { query(self.begin_on(standby.pool(), sql.clone(), false).await?).await };
            match standby.cancel_if_lost(result).await {
                Ok(value) => return Ok(Stale { value, age }),
                Err(error) => {
                    tracing::warn!(error = %error, "standby query failed, falling back to the primary")
                }
            }
        }
        let value = query(self.begin_with(sql).await?).await?;
        Ok(Stale { value, age: Duration::ZERO })
    }

    /// Begins a transaction over all tenants, for queries before the tenant is known and for work that serves
    /// all of them.
    pub async fn begin_cross_tenant(&self) -> Result<Tx, DbError> {
        self.begin_with(begin_sql(BEGIN, SET_SERVICE_ROLE)).await
    }

    /// Begins a transaction as the role of `DATABASE_URL`, which works before the migrations have created the
    /// other roles.
    pub(crate) async fn begin_as_owner(&self) -> Result<Tx, DbError> {
        self.begin_with(begin_sql(BEGIN, "")).await
    }

    async fn begin_with(&self, sql: String) -> Result<Tx, DbError> {
        self.begin_on(&self.pool, sql, self.has_session_affinity.load(Ordering::Relaxed)).await
    }

    async fn begin_on(&self, pool: &PgPool, sql: String, is_prepared: bool) -> Result<Tx, DbError> {
        // Runs in its own task so that it is never cancelled halfway: sqlx returns a connection that was
        // dropped during `begin` to the pool without a rollback, and the next user would get an open
        // transaction that is never committed.
        let pool = pool.clone();
        let inner = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(sql)).await }).await;
        Ok(Tx { inner: inner.map_err(|_| DbError::Timeout)??, keys: self.keys.clone(), is_prepared })
    }

    /// Returns the current use of the connections.
    pub fn connection_counts(&self) -> ConnectionCounts {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let max = self.pool.options().get_max_connections();
        ConnectionCounts { busy: self.pool.size().saturating_sub(idle), idle, max }
    }

    /// Closes every connection and waits until they are closed.
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

    /// Records whether `DATABASE_URL` leads to real sessions, as found by a listener.
    pub(crate) fn set_session_affinity(&self, has_affinity: bool) {
        self.has_session_affinity.store(has_affinity, Ordering::Relaxed);
    }

    pub(crate) fn direct_addresses(&self) -> &Addresses {
        &self.direct_addresses
    }
}

fn open_pool(
    settings: &DbSettings,
    address: &PgConnectOptions,
    failover: Failover,
    timeout: Duration,
) -> PgPool {
    PgPoolOptions::new()
        .min_connections(settings.pool_size)
        .max_connections(settings.pool_size + settings.max_overflow)
        .acquire_timeout(timeout)
        // Otherwise each transaction would first ping its connection.
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_current = failover.is_connection_current(metadata.age);
            Box::pin(async move {
                if is_current && metadata.idle_for > MAX_UNCHECKED_IDLE {
                    connection.ping().await?;
                }
                Ok(is_current)
            })
        })
        .connect_lazy_with(address.clone())
}

fn begin_sql(begin: &str, set_role: &str) -> String {
    format!("{begin}{SET_LIMITS}{SET_SEARCH_PATH}{set_role}")
}

fn tenant_role(tenant_id: &TenantId) -> String {
    let mut sql = SET_TENANT_ROLE.to_owned();
    sql_literal::push_text(&mut sql, tenant_id.as_str());
    sql
}

/// A transaction, with the keys to the encrypted columns.
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
    /// Commits. Acknowledge work only after this.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.inner.commit().await?)
    }

    /// Disables the statement timeout, for bulk work.
    pub(crate) async fn disable_statement_timeout(&mut self) -> Result<(), DbError> {
        sqlx::query("set local statement_timeout = 0").execute(self).await?;
        Ok(())
    }

    /// Returns whether statements are prepared by name, so that the session reuses their plan in later
    /// transactions.
    pub(crate) fn is_prepared(&self) -> bool {
        self.is_prepared
    }

    /// Has the following statements planned for the current contents of the tables. A cached plan reflects
    /// their earlier contents, possibly empty, until Postgres analyzes them again, which may take a minute.
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
