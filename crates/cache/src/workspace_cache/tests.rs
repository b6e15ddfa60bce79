use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

const LONG_TTL: Duration = Duration::from_secs(3600);

fn tenant() -> TenantId {
    TenantId::from("T1")
}

/// Returns the cached text, or loads `read` and returns that.
async fn load_text(cache: &WorkspaceCache, read: &str) -> String {
    let load = async { Ok::<_, ()>(Some(read.as_bytes().to_vec())) };
    let sealed = cache.get_or_load(&tenant(), load).await.unwrap().unwrap();
    String::from_utf8(sealed.to_vec()).unwrap()
}

#[tokio::test]
async fn concurrent_readers_share_one_load() {
    let (cache, loads) = (Arc::new(WorkspaceCache::new(None, LONG_TTL)), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    for _ in 0..50 {
        let (cache, loads) = (Arc::clone(&cache), Arc::clone(&loads));
        readers.spawn(async move {
            let load = async {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, ()>(Some(b"settings".to_vec()))
            };
            cache.get_or_load(&tenant(), load).await.unwrap().unwrap()
        });
    }
    let entries = readers.join_all().await;
    assert!(entries.iter().all(|sealed| &**sealed == b"settings"));
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn only_changed_tenant_is_reloaded() {
    let (cache, other) = (WorkspaceCache::new(None, LONG_TTL), TenantId::from("T2"));
    assert_eq!(load_text(&cache, "old").await, "old");
    cache.invalidate(&other).await;
    assert_eq!(load_text(&cache, "new").await, "old");
    cache.invalidate(&tenant()).await;
    assert_eq!(load_text(&cache, "new").await, "new");
    cache.invalidate_all().await;
    assert_eq!(load_text(&cache, "newest").await, "newest");
}

#[tokio::test]
async fn load_before_change_is_not_reused() {
    for all in [false, true] {
        let cache = Arc::new(WorkspaceCache::new(None, LONG_TTL));
        let (started, resume) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = tokio::spawn({
            let (cache, started, resume) = (Arc::clone(&cache), Arc::clone(&started), Arc::clone(&resume));
            async move {
                let load = async {
                    started.notify_one();
                    resume.notified().await;
                    Ok::<_, ()>(Some(b"old".to_vec()))
                };
                cache.get_or_load(&tenant(), load).await.unwrap().unwrap()
            }
        });
        started.notified().await;
        match all {
            true => cache.invalidate_all().await,
            false => cache.invalidate(&tenant()).await,
        }
        // A reader after the change does not wait for a load from before it.
        assert_eq!(load_text(&cache, "new").await, "new");
        resume.notify_one();
        assert_eq!(&*slow.await.unwrap(), b"old");
        assert_eq!(load_text(&cache, "newest").await, "new");
    }
}

#[tokio::test]
async fn absent_or_failed_load_is_not_cached() {
    let cache = WorkspaceCache::new(None, LONG_TTL);
    assert!(cache.get_or_load(&tenant(), async { Ok::<_, String>(None) }).await.unwrap().is_none());
    let failed = cache.get_or_load(&tenant(), async { Err("away".to_owned()) }).await;
    assert_eq!(*failed.unwrap_err(), "away");
    assert_eq!(load_text(&cache, "there").await, "there");
}

#[tokio::test]
async fn cache_entry_expires_after_ttl() {
    let cache = WorkspaceCache::new(None, Duration::from_millis(30));
    assert_eq!(load_text(&cache, "old").await, "old");
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(load_text(&cache, "new").await, "new");
}

#[test]
fn cache_is_invalid_without_change_feed() {
    let cache = WorkspaceCache::new(None, LONG_TTL);
    assert!(!cache.is_valid());
    cache.set_valid_until(Instant::now() + LONG_TTL);
    assert!(cache.is_valid());
    cache.set_valid_until(Instant::now());
    assert!(!cache.is_valid());
    let off = WorkspaceCache::new(None, Duration::ZERO);
    off.set_valid_until(Instant::now() + LONG_TTL);
    assert!(!off.is_valid());
}

#[test]
fn changed_tenants_are_bounded() {
    let mut generations = Generations::default();
    let first = generations.current(&tenant());
    for number in 0..MAX_CHANGED_TENANTS * 2 + 10 {
        let before = generations.current(&tenant());
        generations.advance(&TenantId::from(format!("T{number}")));
        assert!(generations.current(&tenant()) >= before);
    }
    assert!(generations.changed.len() <= MAX_CHANGED_TENANTS);
    assert_ne!(generations.current(&tenant()), first);
}
