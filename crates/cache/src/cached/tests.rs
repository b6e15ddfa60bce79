use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn tenant() -> TenantId {
    TenantId::from("T1")
}

/// What is found, where this is what would be read.
async fn found(cached: &Cached, read: &str) -> String {
    let load = async { Ok::<_, ()>(Some(read.as_bytes().to_vec())) };
    let sealed = cached.find(&tenant(), load).await.unwrap().unwrap();
    String::from_utf8(sealed.to_vec()).unwrap()
}

#[tokio::test]
async fn of_fifty_who_ask_at_once_one_loads() {
    let (cached, loads) = (Arc::new(Cached::new(None, HOUR)), Arc::new(AtomicUsize::new(0)));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (cached, loads) = (Arc::clone(&cached), Arc::clone(&loads));
        asking.spawn(async move {
            let load = async {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, ()>(Some(b"settings".to_vec()))
            };
            cached.find(&tenant(), load).await.unwrap().unwrap()
        });
    }
    let found = asking.join_all().await;
    assert!(found.iter().all(|sealed| &**sealed == b"settings"));
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_changed_is_loaded_anew_and_nothing_else_is() {
    let (cached, other) = (Cached::new(None, HOUR), TenantId::from("T2"));
    assert_eq!(found(&cached, "old").await, "old");
    cached.forget(&other).await;
    assert_eq!(found(&cached, "new").await, "old");
    cached.forget(&tenant()).await;
    assert_eq!(found(&cached, "new").await, "new");
    cached.forget_all().await;
    assert_eq!(found(&cached, "newest").await, "newest");
}

#[tokio::test]
async fn a_load_that_began_before_a_change_is_not_found_after_it() {
    for all in [false, true] {
        let cached = Arc::new(Cached::new(None, HOUR));
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = tokio::spawn({
            let (cached, begun, go_on) = (Arc::clone(&cached), Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                let load = async {
                    begun.notify_one();
                    go_on.notified().await;
                    Ok::<_, ()>(Some(b"old".to_vec()))
                };
                cached.find(&tenant(), load).await.unwrap().unwrap()
            }
        });
        begun.notified().await;
        match all {
            true => cached.forget_all().await,
            false => cached.forget(&tenant()).await,
        }
        // Whoever asks after the change does not wait for what was read before it.
        assert_eq!(found(&cached, "new").await, "new");
        go_on.notify_one();
        assert_eq!(&*slow.await.unwrap(), b"old");
        assert_eq!(found(&cached, "newest").await, "new");
    }
}

#[tokio::test]
async fn what_is_absent_or_cannot_be_read_is_not_kept() {
    let cached = Cached::new(None, HOUR);
    assert!(cached.find(&tenant(), async { Ok::<_, String>(None) }).await.unwrap().is_none());
    let failed = cached.find(&tenant(), async { Err("away".to_owned()) }).await;
    assert_eq!(*failed.unwrap_err(), "away");
    assert_eq!(found(&cached, "there").await, "there");
}

#[tokio::test]
async fn what_is_kept_ends() {
    let cached = Cached::new(None, Duration::from_millis(30));
    assert_eq!(found(&cached, "old").await, "old");
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(found(&cached, "new").await, "new");
}

#[test]
fn nothing_is_believed_unless_changes_are_heard_of() {
    let cached = Cached::new(None, HOUR);
    assert!(!cached.is_trusted());
    cached.trust_until(Instant::now() + HOUR);
    assert!(cached.is_trusted());
    cached.trust_until(Instant::now());
    assert!(!cached.is_trusted());
    let off = Cached::new(None, Duration::ZERO);
    off.trust_until(Instant::now() + HOUR);
    assert!(!off.is_trusted());
}

#[test]
fn however_many_change_no_more_are_remembered_and_no_generation_comes_again() {
    let mut generations = Generations::default();
    let first = generations.of(&tenant());
    for number in 0..CHANGED * 2 + 10 {
        let before = generations.of(&tenant());
        generations.advance(&TenantId::from(format!("T{number}")));
        assert!(generations.of(&tenant()) >= before);
    }
    assert!(generations.of_changed.len() <= CHANGED);
    assert_ne!(generations.of(&tenant()), first);
}
