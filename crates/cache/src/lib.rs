//! Rate limits and the workspace cache: shared through Redis, or per process without it.
//!
//! Correctness does not depend on this crate. Losing Redis makes limits looser and reads slower, nothing
//! else.

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
