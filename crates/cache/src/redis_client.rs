//! The connection to the Redis that all replicas share. It may fail and return at any moment.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleResult};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, RedisError};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{interval, timeout};

/// The time after which Redis counts as lost. A request waits no longer than this for it.
pub(crate) const REDIS_TIMEOUT: Duration = Duration::from_millis(500);

/// The number of parts in which [`REDIS_TIMEOUT`] is waited for.
///
/// A process short of CPU time wakes late from each part and may then find the response already there.
const TIMEOUT_SLICES: u32 = 5;

const REDIS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The most connections of one process.
const MAX_REDIS_CONNECTIONS: usize = 16;

/// The time after which an idle connection is checked before it is used.
const IDLE_CHECK_AFTER: Duration = Duration::from_secs(1);

/// An error of the Redis client.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// `REDIS_URL` is malformed.
    #[error("REDIS_URL is not a Redis address: {0}")]
    InvalidAddress(String),
    /// No connection could be opened.
    #[error("connecting to Redis failed: {0}")]
    ConnectFailed(String),
    /// Redis refused the command, or the connection broke.
    #[error("Redis command failed: {0}")]
    CommandFailed(#[from] RedisError),
    /// Redis did not answer in time.
    #[error("Redis did not answer within {REDIS_TIMEOUT:?}")]
    Timeout,
}

impl From<PoolError<RedisError>> for CacheError {
    fn from(error: PoolError<RedisError>) -> Self {
        Self::ConnectFailed(match error {
            PoolError::Backend(error) => error.to_string(),
            error => error.to_string(),
        })
    }
}

/// Opens connections, and counts idle ones that broke: the pool replaces these without an error.
struct ConnectionManager {
    inner: deadpool_redis::Manager,
    loss_count: Arc<AtomicU64>,
}

impl Manager for ConnectionManager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        self.inner.create().await
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        metrics: &Metrics,
    ) -> RecycleResult<RedisError> {
        if metrics.last_used() < IDLE_CHECK_AFTER {
            return Ok(());
        }
        let ping: Result<(), RedisError> = redis::cmd("PING").query_async(connection).await;
        if ping.is_err() {
            self.loss_count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(ping?)
    }
}

/// A client of the Redis that all replicas share. Cheap to clone.
#[derive(Clone)]
pub struct RedisClient {
    pool: Pool<ConnectionManager>,
    is_available: Arc<AtomicBool>,
    loss_count: Arc<AtomicU64>,
}

/// Checks the form of `REDIS_URL`.
///
/// # Errors
/// The text is not a Redis address.
pub fn parse_redis_url(text: &str) -> Result<SecretString, String> {
    match text.trim().into_connection_info() {
        // redis-rs would then accept any certificate.
        Ok(_) if text.trim().ends_with("#insecure") => {
            Err("ends with #insecure: remove that, and trust the server's certificate (SSL_CERT_FILE)".into())
        }
        Ok(_) => Ok(text.trim().into()),
        Err(_) => Err("is not an address of the form redis://… or rediss://…".into()),
    }
}

impl RedisClient {
    /// Opens the Redis at `REDIS_URL` and monitors it from then on. Logs a line if there is no URL.
    ///
    /// # Errors
    /// The address is malformed. An unavailable Redis is not an error.
    pub fn open(url: Option<&SecretString>) -> Result<Option<Self>, CacheError> {
        let Some(url) = url else {
            tracing::info!("REDIS_URL is not set: rate limits and cache are per process");
            return Ok(None);
        };
        let client = Self::new(url)?;
        tokio::spawn(client.clone().run_check_loop());
        Ok(Some(client))
    }

    fn new(url: &SecretString) -> Result<Self, CacheError> {
        // `with_timeout` bounds connecting and commands together, so the connection has no time-outs of its
        // own.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let inner = deadpool_redis::Manager::new_with_config(url.expose_secret(), config)
            .map_err(|error| CacheError::InvalidAddress(error.to_string()))?;
        let loss_count = Arc::<AtomicU64>::default();
        let manager = ConnectionManager { inner, loss_count: Arc::clone(&loss_count) };
        let pool = Pool::builder(manager).max_size(MAX_REDIS_CONNECTIONS).build();
        let pool = pool.map_err(|error| CacheError::InvalidAddress(error.to_string()))?;
        Ok(Self { pool, is_available: Arc::new(AtomicBool::new(true)), loss_count })
    }

    /// Checks Redis once a second. Never returns.
    async fn run_check_loop(self) {
        let mut ticks = interval(REDIS_CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            self.record_result(self.ping().await.as_ref());
        }
    }

    /// Pings Redis. Returns `ok`, the error, or `not set` without Redis.
    pub async fn status(client: Option<&Self>) -> String {
        match client {
            Some(client) => client.ping().await.map_or_else(|error| error.to_string(), |()| "ok".into()),
            None => "not set".into(),
        }
    }

    /// Returns whether the last command or check succeeded. At most about a second old.
    pub fn is_available(&self) -> bool {
        self.is_available.load(Ordering::SeqCst)
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.execute_with_timeout(async |connection| redis::cmd("PING").query_async(connection).await).await
    }

    /// Runs a command. Returns `None` if it fails, and at once while Redis is lost, so that no request waits.
    pub(crate) async fn execute<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Option<T> {
        if !self.is_available() {
            return None;
        }
        let result = self.execute_with_timeout(command).await;
        if result.is_err() {
            self.record_result(result.as_ref().map(|_| &()));
        }
        result.ok()
    }

    async fn execute_with_timeout<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, CacheError> {
        let result = with_timeout(async {
            let mut connection = self.pool.get().await?;
            Ok(command(&mut connection).await?)
        });
        let result = result.await;
        if result.is_err() {
            // A dead connection may not report it, and each would cost a later command its whole time-out.
            self.pool.retain(|_, _| false);
        }
        result
    }

    /// Returns how often Redis was lost. Its content from before a loss may have missed an invalidation.
    pub(crate) fn loss_count(&self) -> u64 {
        self.loss_count.load(Ordering::SeqCst)
    }

    fn record_result(&self, result: Result<&(), &CacheError>) {
        if result.is_err() {
            self.loss_count.fetch_add(1, Ordering::SeqCst);
        }
        let was_available = self.is_available.swap(result.is_ok(), Ordering::SeqCst);
        match result {
            Err(error) if was_available => {
                tracing::error!(error = %error, "redis lost: rate limits and cache are per process");
            }
            Ok(()) if !was_available => {
                tracing::info!("redis is back: rate limits and cache are shared again")
            }
            _ => {}
        }
    }
}

async fn with_timeout<T>(call: impl Future<Output = Result<T, CacheError>>) -> Result<T, CacheError> {
    let mut call = pin!(call);
    for _ in 0..TIMEOUT_SLICES {
        if let Ok(result) = timeout(REDIS_TIMEOUT / TIMEOUT_SLICES, &mut call).await {
            return result;
        }
    }
    Err(CacheError::Timeout)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::time::sleep;

    use super::*;

    /// Starts a server that answers every command, and closes its connections when notified.
    async fn start_fake_redis() -> (SecretString, Arc<Notify>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("an address")).into();
        let disconnect = Arc::new(Notify::new());
        let notified = Arc::clone(&disconnect);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notified = Arc::clone(&notified);
                tokio::spawn(async move {
                    tokio::select! {
                        () = answer_commands(stream) => {}
                        () = notified.notified() => {}
                    }
                });
            }
        });
        (url, disconnect)
    }

    async fn answer_commands(mut stream: TcpStream) {
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(head)) = lines.next_line().await {
            let words: usize = head.trim_start_matches('*').parse().expect("a number of words");
            let mut name = String::new();
            for word in 0..words {
                lines.next_line().await.expect("a length");
                let text = lines.next_line().await.expect("a word").unwrap_or_default();
                name = if word == 0 { text } else { name };
            }
            let reply: &[u8] = if name == "PING" { b"+PONG\r\n" } else { b"+OK\r\n" };
            writer.write_all(reply).await.expect("the client reads");
        }
    }

    #[tokio::test]
    async fn broken_idle_connection_counts_as_loss() {
        let (url, disconnect) = start_fake_redis().await;
        let client = RedisClient::new(&url).expect("a client");
        client.ping().await.expect("the first connection answers");
        disconnect.notify_waiters();
        sleep(IDLE_CHECK_AFTER + Duration::from_millis(100)).await;
        client.ping().await.expect("a new connection answers");
        assert_eq!(client.loss_count(), 1);
    }
}
