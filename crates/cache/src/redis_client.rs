//! The Redis of all replicas, which may be lost and come back at any moment.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::{interval, timeout};

/// A Redis that has not answered by then counts as lost: nobody who waits for an answer waits for it.
pub(crate) const REDIS_TIMEOUT: Duration = Duration::from_millis(500);

/// In so many pieces: a process that is short of time itself comes late to each, and may find the answer there.
const TIMEOUT_SLICES: u32 = 5;

/// Between two looks at whether it is there.
const REDIS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Why there is no Redis to talk to.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// `REDIS_URL` is no address of a Redis.
    #[error("REDIS_URL is no address of a Redis: {0}")]
    InvalidAddress(String),
    /// It cannot be reached, or refused what it was asked.
    #[error("Redis does not do it: {0}")]
    CommandFailed(#[from] RedisError),
    /// It said nothing.
    #[error("Redis did not answer within {REDIS_TIMEOUT:?}")]
    Timeout,
}

/// The Redis of all replicas. Cheap to clone.
#[derive(Clone)]
pub struct RedisClient {
    client: Client,
    /// One for all who ask: nobody waits for another's answer. None until somebody asks, and after a failure.
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
    is_available: Arc<AtomicBool>,
    loss_count: Arc<AtomicU64>,
}

/// Checks the form of `REDIS_URL`.
///
/// # Errors
/// It is no address of a Redis.
pub fn parse_redis_url(text: &str) -> Result<SecretString, String> {
    match text.trim().into_connection_info() {
        Ok(_) => Ok(text.trim().into()),
        Err(_) => Err("is not an address of the form redis://… or rediss://…".into()),
    }
}

impl RedisClient {
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
        let shared = Self::new(url)?;
        tokio::spawn(shared.clone().watch());
        Ok(Some(shared))
    }

    fn new(url: &SecretString) -> Result<Self, CacheError> {
        let client = Client::open(url.expose_secret());
        let client = client.map_err(|error| CacheError::InvalidAddress(error.to_string()))?;
        let is_there = Arc::new(AtomicBool::new(true));
        Ok(Self { client, connection: Arc::default(), is_available: is_there, loss_count: Arc::default() })
    }

    /// Says so when it is lost, and when it is back.
    async fn watch(self) {
        let mut looks = interval(REDIS_CHECK_INTERVAL);
        loop {
            looks.tick().await;
            self.record_result(self.ping().await.as_ref());
        }
    }

    /// In words: whether there is one, and whether it answers now.
    pub async fn status(shared: Option<&Self>) -> String {
        match shared {
            Some(shared) => shared.ping().await.map_or_else(|error| error.to_string(), |()| "ok".into()),
            None => "not set".into(),
        }
    }

    /// Whether it answered when it was last asked or looked for, within a second or so.
    pub fn is_available(&self) -> bool {
        self.is_available.load(Ordering::SeqCst)
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.execute_with_timeout(async |connection| redis::cmd("PING").query_async(connection).await).await
    }

    /// Asks it something; `None` at once while it is lost, so that nobody waits for it.
    pub(crate) async fn execute<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Option<T> {
        if !self.is_available() {
            return None;
        }
        let answer = self.execute_with_timeout(command).await;
        if answer.is_err() {
            self.record_result(answer.as_ref().map(|_| &()));
        }
        answer.ok()
    }

    async fn execute_with_timeout<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, CacheError> {
        let asked = async { Ok(command(&mut self.connect().await?).await?) };
        let answer = with_timeout(asked).await;
        if answer.is_err() {
            // Whoever comes next begins with another one: this one may be dead and not say so. Where somebody makes one just
            // now, there is none.
            if let Ok(mut connection) = self.connection.try_lock() {
                *connection = None;
            }
        }
        answer
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(there) = &*connection {
            return Ok(there.clone());
        }
        // How long anything may take is said here, once.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(connection.insert(made).clone())
    }

    /// How often it was lost. What it has from before may lack what it should have been told meanwhile.
    pub(crate) fn loss_count(&self) -> u64 {
        self.loss_count.load(Ordering::SeqCst)
    }

    fn record_result(&self, seen: Result<&(), &CacheError>) {
        if seen.is_err() {
            self.loss_count.fetch_add(1, Ordering::SeqCst);
        }
        let was_there = self.is_available.swap(seen.is_ok(), Ordering::SeqCst);
        match seen {
            Err(error) if was_there => {
                tracing::error!(error = %error, "Redis is lost: until it is back each replica counts its limits alone");
            }
            Ok(()) if !was_there => tracing::info!("Redis is back: limits are shared again"),
            _ => {}
        }
    }
}

async fn with_timeout<T>(asked: impl Future<Output = Result<T, CacheError>>) -> Result<T, CacheError> {
    let mut asked = pin!(asked);
    for _ in 0..TIMEOUT_SLICES {
        if let Ok(answer) = timeout(REDIS_TIMEOUT / TIMEOUT_SLICES, &mut asked).await {
            return answer;
        }
    }
    Err(CacheError::Timeout)
}
