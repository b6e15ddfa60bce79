//! Two processes that share a Redis cache, without the services around them.

use std::time::{Duration, Instant};

use ::cache::{RedisClient, WorkspaceCache};
use models::TenantId;
use secrecy::SecretString;
use tokio::time::sleep;
use xtask::cluster::free_port;
use xtask::redis::Redis;

use crate::postgres_outage::{abort_and_join, forward_port};
use crate::test_app::TEST_TIMEOUT;
use crate::workspace_cache::redis_contents;

const WORKSPACE_CACHE_TTL: Duration = Duration::from_secs(3600);

fn open_cache(url: &str) -> WorkspaceCache {
    let shared = RedisClient::open(Some(&SecretString::from(url))).expect("an address");
    WorkspaceCache::new(shared, WORKSPACE_CACHE_TTL)
}

/// Returns what is found if the database holds `read`.
async fn load_cached(cached: &WorkspaceCache, read: &str) -> String {
    let load = async { Ok::<_, ()>(Some(read.as_bytes().to_vec())) };
    let sealed =
        cached.get_or_load(&TenantId::from("T1"), load).await.expect("it loads").expect("there is one");
    String::from_utf8(sealed.to_vec()).expect("text")
}

/// Opens two caches and waits until each finds what the other has stored.
async fn open_two_caches(url: &str) -> [WorkspaceCache; 2] {
    let two = [open_cache(url), open_cache(url)];
    for one in &two {
        one.invalidate_all().await;
    }
    // Each has told Redis to invalidate everything that was there.
    for one in &two {
        load_cached(one, "begun").await;
    }
    two[0].invalidate(&TenantId::from("T1")).await;
    two[1].invalidate(&TenantId::from("T1")).await;
    two
}

#[tokio::test]
async fn redis_cache_is_shared() {
    let redis = Redis::start().expect("Redis starts");
    let [one, other] = open_two_caches(&redis.url()).await;
    assert_eq!(load_cached(&one, "old").await, "old");
    assert_eq!(load_cached(&other, "newer").await, "old");
    one.invalidate(&TenantId::from("T1")).await;
    assert_eq!(load_cached(&one, "new").await, "new");
    // The other cache has not been notified yet; then it also forgets the new value, which costs one more
    // read.
    assert_eq!(load_cached(&other, "newest").await, "old");
    other.invalidate(&TenantId::from("T1")).await;
    assert_eq!(load_cached(&other, "newest").await, "newest");
}

#[tokio::test]
async fn load_during_change_is_not_cached() {
    let redis = Redis::start().expect("Redis starts");
    let [one, other] = open_two_caches(&redis.url()).await;
    let tenant_id = TenantId::from("T1");
    let slow = one.get_or_load(&tenant_id, async {
        other.invalidate(&tenant_id).await;
        Ok::<_, ()>(Some(b"old".to_vec()))
    });
    assert_eq!(slow.await.expect("it loads").as_deref(), Some(&b"old"[..]));
    assert_eq!(load_cached(&other, "new").await, "new");
    let tenant_id = TenantId::from("T2");
    let slow = one.get_or_load(&tenant_id, async {
        other.invalidate_all().await;
        Ok::<_, ()>(Some(b"old".to_vec()))
    });
    assert_eq!(slow.await.expect("it loads").as_deref(), Some(&b"old"[..]));
    let load = async { Ok::<_, ()>(Some(b"new".to_vec())) };
    let sealed = other.get_or_load(&tenant_id, load).await.expect("it loads");
    assert_eq!(sealed.as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn missed_invalidation_is_not_served_later() {
    let redis = Redis::start().expect("Redis starts");
    let port = free_port().expect("a port");
    let forwarding = forward_port(port, redis.port()).await;
    let [one, other] = open_two_caches(&format!("redis://127.0.0.1:{port}")).await;
    assert_eq!(load_cached(&one, "old").await, "old");
    abort_and_join(forwarding).await;
    for each in [&one, &other] {
        each.invalidate(&TenantId::from("T1")).await;
    }
    assert!(redis_contents(&redis).await.iter().any(|(_, value)| value.contains("old")), "it is still there");
    let _forwarding = forward_port(port, redis.port()).await;
    // Each checks once a second whether Redis is back: then it stores other tenants there again.
    let begun = Instant::now();
    for number in 0.. {
        let probe = async { Ok::<_, ()>(Some(b"probe".to_vec())) };
        let tenant_id = TenantId::from(format!("PROBE{number}").as_str());
        other.get_or_load(&tenant_id, probe).await.expect("it loads");
        if redis_contents(&redis).await.iter().any(|(_, value)| value.contains("probe")) {
            break;
        }
        assert!(begun.elapsed() < TEST_TIMEOUT, "Redis is not used again");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(load_cached(&other, "new").await, "new");
    assert!(
        redis_contents(&redis).await.iter().any(|(_, value)| value.contains("new")),
        "it is cached again"
    );
}
