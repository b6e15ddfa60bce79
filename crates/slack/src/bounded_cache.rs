//! The memory limit that caches per tenant share.

use std::hash::Hash;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// The most entries of a cache. The least recently used entry is evicted first, which costs one call that
/// Slack rejects.
pub(crate) const MAX_CACHE_ENTRIES: u64 = 10_000;

/// Creates a cache of at most [`MAX_CACHE_ENTRIES`] entries, each kept for `ttl`.
pub(crate) fn bounded_cache<K, V>(ttl: Duration) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(MAX_CACHE_ENTRIES)
        .time_to_live(ttl)
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_entries_are_bounded() {
        let cache = bounded_cache(Duration::from_secs(60));
        for tenant in 0..MAX_CACHE_ENTRIES + 500 {
            cache.insert(tenant, ());
        }
        cache.run_pending_tasks();
        assert!(cache.entry_count() <= MAX_CACHE_ENTRIES, "{}", cache.entry_count());
    }
}
