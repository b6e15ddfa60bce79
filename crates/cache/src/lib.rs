//! What replicas share beside Postgres: Redis where there is one, each process by itself where there is none.
//! Nothing here is needed for correctness: a Redis that is lost makes limits looser and reading slower, and nothing else.

mod cached;
mod examine;
mod knocks;
mod limits;
mod own;
mod rate;
mod shared;
mod stock;

pub use cached::{Cached, Sealed};
pub use examine::{RedisState, examine, place};
pub use knocks::Knocks;
pub use limits::{Limits, Turn};
pub use rate::Rate;
pub use shared::{CacheError, Shared, parse_address};
