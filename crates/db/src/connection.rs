//! The pool, and the transaction in which every query runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crypto::MasterKeys;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::DbError;
use crate::keys::Keys;

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DATABASE_URL`; a transaction pooler may stand behind it.
    pub url: SecretString,
    /// `DATABASE_DIRECT_URL`: a session of one's own, for migrations and LISTEN.
    pub direct_url: SecretString,
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
    direct: PgConnectOptions,
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
}

impl Db {
    /// Opens the pool without waiting for Postgres: whether it answers is what readiness asks.
    ///
    /// # Errors
    /// An address that cannot be read.
    pub fn open(settings: &Settings, keys: MasterKeys) -> Result<Self, DbError> {
        let options = connect_options(&settings.url)?;
        let pool = PgPoolOptions::new()
            .min_connections(settings.pool_size)
            .max_connections(settings.pool_size + settings.max_overflow)
            .acquire_timeout(settings.pool_timeout)
            .connect_lazy_with(options);
        Ok(Self { pool, direct: connect_options(&settings.direct_url)?, keys: Keys::new(Arc::new(keys)) })
    }

    /// Begins a transaction; dropped without [`Tx::commit`], it is rolled back.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(Tx { inner: self.pool.begin().await?, keys: self.keys.clone() })
    }

    /// How the connections are used now.
    pub fn connection_counts(&self) -> ConnectionCounts {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        ConnectionCounts { busy: self.pool.size().saturating_sub(idle), idle }
    }

    /// Closes every connection and waits for that.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn direct(&self) -> &PgConnectOptions {
        &self.direct
    }
}

/// A transaction. It runs every query unnamed and holds the keys to what is sealed.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    keys: Keys,
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

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    pub(crate) fn master_keys(&self) -> Arc<MasterKeys> {
        self.keys.master()
    }
}

/// pgBouncer refuses start-up parameters that it does not know.
pub(crate) fn connect_options(url: &SecretString) -> Result<PgConnectOptions, DbError> {
    Ok(url.expose_secret().parse::<PgConnectOptions>()?.extra_float_digits(None))
}
