//! The Redis of all replicas, which may be lost and come back at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool_redis::{Config, Connection, Pool, Runtime};
use redis::{IntoConnectionInfo, RedisError};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{interval, timeout};

/// A Redis that has not answered by then counts as lost: nobody who waits for an answer waits for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Between two looks at whether it is there.
const LOOK: Duration = Duration::from_secs(1);

/// Connections of one process; each is used for less than a millisecond.
const CONNECTIONS: usize = 8;

/// Why there is no Redis to talk to.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// `REDIS_URL` is no address of a Redis.
    #[error("REDIS_URL is no address of a Redis: {0}")]
    Address(String),
    /// No connection could be made.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// It refused what it was asked.
    #[error("Redis refused: {0}")]
    Refused(#[from] RedisError),
    /// It said nothing.
    #[error("Redis did not answer within {PATIENCE:?}")]
    Silent,
}

/// The Redis of all replicas. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pool: Pool,
    is_there: Arc<AtomicBool>,
    losses: Arc<AtomicU64>,
}

/// Checks the form of `REDIS_URL`.
///
/// # Errors
/// It is no address of a Redis.
pub fn parse_address(text: &str) -> Result<SecretString, String> {
    match text.trim().into_connection_info() {
        Ok(_) => Ok(text.trim().into()),
        Err(_) => Err("is not an address of the form redis://… or rediss://…".into()),
    }
}

impl Shared {
    /// The Redis at `REDIS_URL`, looked after from now on. Says so where there is none.
    ///
    /// # Errors
    /// The address is malformed. A Redis that is away is no error.
    pub fn open(url: Option<&SecretString>) -> Result<Option<Self>, CacheError> {
        let Some(url) = url else {
            tracing::info!(
                "REDIS_URL is not set: limits are counted in this process alone, and it keeps its own cache"
            );
            return Ok(None);
        };
        let shared = Self::at(url)?;
        tokio::spawn(shared.clone().watch());
        Ok(Some(shared))
    }

    fn at(url: &SecretString) -> Result<Self, CacheError> {
        let address = |error: &dyn std::fmt::Display| CacheError::Address(error.to_string());
        let pool = Config::from_url(url.expose_secret())
            .builder()
            .map_err(|error| address(&error))?
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| address(&error))?;
        Ok(Self { pool, is_there: Arc::new(AtomicBool::new(true)), losses: Arc::default() })
    }

    /// Says so when it is lost, and when it is back.
    async fn watch(self) {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            self.note(self.check().await.as_ref());
        }
    }

    /// In words: whether there is one, and whether it answers now.
    pub async fn state(shared: Option<&Self>) -> String {
        match shared {
            Some(shared) => shared.check().await.map_or_else(|error| error.to_string(), |()| "ok".into()),
            None => "not set".into(),
        }
    }

    async fn check(&self) -> Result<(), CacheError> {
        self.asked(async |connection| redis::cmd("PING").query_async(connection).await).await
    }

    /// Asks it something; `None` at once while it is lost, so that nobody waits for it.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Option<T> {
        if !self.is_there.load(Ordering::SeqCst) {
            return None;
        }
        let answer = self.asked(question).await;
        if answer.is_err() {
            self.note(answer.as_ref().map(|_| &()));
        }
        answer.ok()
    }

    async fn asked<T>(
        &self,
        question: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, CacheError> {
        let asked = async {
            let connection = self.pool.get().await;
            let mut connection = connection.map_err(|error| CacheError::Unreachable(error.to_string()))?;
            let answer = question(&mut connection).await;
            if answer.is_err() {
                // The next one begins with a connection of its own.
                drop(Connection::take(connection));
            }
            Ok(answer?)
        };
        timeout(PATIENCE, asked).await.unwrap_or(Err(CacheError::Silent))
    }

    /// How often it was lost. What it has from before may lack what it should have been told meanwhile.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    fn note(&self, seen: Result<&(), &CacheError>) {
        if seen.is_err() {
            self.losses.fetch_add(1, Ordering::SeqCst);
        }
        let was_there = self.is_there.swap(seen.is_ok(), Ordering::SeqCst);
        match seen {
            Err(error) if was_there => {
                tracing::error!(error = %error, "Redis is lost: until it is back each replica counts its limits alone");
            }
            Ok(()) if !was_there => tracing::info!("Redis is back: limits are shared again"),
            _ => {}
        }
    }
}
