//! Facts about a Redis server, for operators.

use chrono::{DateTime, Utc};
use redis::{Client, InfoDict, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::CacheError;
use crate::redis_client::REDIS_TIMEOUT;

/// Three seconds in all: an operator can wait longer than a request.
const INFO_TIMEOUT_FACTOR: u32 = 6;

/// The version, memory and role of a Redis server.
#[derive(Clone, Debug)]
pub struct RedisInfo {
    /// The version, such as `7.0.15`.
    pub version: String,
    /// `maxmemory` in bytes; 0 means no limit.
    pub max_memory: u64,
    /// `maxmemory-policy`: the keys that Redis evicts when its memory is full.
    pub policy: String,
    /// Memory in use, in bytes.
    pub used_memory: u64,
    /// True for a primary, which accepts writes.
    pub is_primary: bool,
    /// The server's clock.
    pub now: DateTime<Utc>,
}

/// Reads the facts about a Redis server.
///
/// # Errors
/// Redis cannot be reached, refuses a command, or does not answer within three seconds.
pub async fn inspect(url: &SecretString) -> Result<RedisInfo, CacheError> {
    timeout(REDIS_TIMEOUT * INFO_TIMEOUT_FACTOR, fetch_info(url)).await.unwrap_or(Err(CacheError::Timeout))
}

async fn fetch_info(url: &SecretString) -> Result<RedisInfo, CacheError> {
    let client =
        Client::open(url.expose_secret()).map_err(|error| CacheError::InvalidAddress(error.to_string()))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
    let (seconds, micros): (i64, u32) = redis::cmd("TIME").query_async(&mut connection).await?;
    let text = |name| info.get::<String>(name).unwrap_or_default();
    Ok(RedisInfo {
        version: text("redis_version"),
        max_memory: info.get("maxmemory").unwrap_or_default(),
        policy: text("maxmemory_policy"),
        used_memory: info.get("used_memory").unwrap_or_default(),
        is_primary: text("role") != "slave",
        now: DateTime::from_timestamp(seconds, micros.saturating_mul(1000)).unwrap_or_default(),
    })
}

/// Returns the address as `host:port/database`, without credentials. `None` if the text is not a Redis
/// address.
pub fn display_address(url: &SecretString) -> Option<String> {
    let info = url.expose_secret().into_connection_info().ok()?;
    Some(format!("{}/{}", info.addr(), info.redis_settings().db()))
}
