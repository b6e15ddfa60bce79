//! What an operator wants to know of a Redis.

use chrono::{DateTime, Utc};
use redis::{Client, InfoDict, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::CacheError;
use crate::redis_client::REDIS_TIMEOUT;

/// Short for a person, and long beside what a Redis takes.
const INFO_TIMEOUT_FACTOR: u32 = 6;

/// How a Redis is set up.
#[derive(Clone, Debug)]
pub struct RedisInfo {
    /// Like `7.0.15`.
    pub version: String,
    /// `maxmemory`, in bytes; 0: as much as it wants.
    pub max_memory: u64,
    /// `maxmemory-policy`: what it drops where that is full.
    pub policy: String,
    /// Memory in use, in bytes.
    pub used_memory: u64,
    /// Whether it takes writes.
    pub is_primary: bool,
    /// What it takes for the time.
    pub now: DateTime<Utc>,
}

/// Asks a Redis about itself.
///
/// # Errors
/// It cannot be reached, refuses, or says nothing for three seconds.
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

/// Where a Redis is, `host:port/database`, without what opens it; `None` for what is no address.
pub fn display_address(url: &SecretString) -> Option<String> {
    let info = url.expose_secret().into_connection_info().ok()?;
    Some(format!("{}/{}", info.addr(), info.redis_settings().db()))
}
