//! What replicas share beside Postgres: Redis where there is one, each process by itself where there is none.
//! Nothing here is needed for correctness: a Redis that is lost makes limits looser and reading slower, and nothing else.

mod ip_rate_limit;
mod local_limiter;
mod rate;
mod rate_limit;
mod redis_cache;
mod redis_client;
mod redis_info;
mod workspace_cache;

pub use ip_rate_limit::IpRateLimiter;
pub use rate::Rate;
pub use rate_limit::{Admission, RateLimiter};
pub use redis_client::{CacheError, RedisClient, parse_redis_url};
pub use redis_info::{RedisInfo, display_address, inspect};
pub use workspace_cache::{SealedBytes, WorkspaceCache};
