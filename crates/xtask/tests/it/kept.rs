//! What two processes keep in one Redis, without the services around it.

use std::time::Duration;

use ::cache::{Cached, Shared};
use models::TenantId;
use secrecy::SecretString;
use tokio::time::sleep;
use xtask::cluster::free_port;
use xtask::redis::Redis;

use crate::cache::contents;
use crate::postgres_away::{end, forward};

const HOUR: Duration = Duration::from_secs(3600);

fn open(url: &str) -> Cached {
    let shared = Shared::open(Some(&SecretString::from(url))).expect("an address");
    Cached::new(shared, HOUR)
}

/// What is found, where this is what would be read.
async fn found(cached: &Cached, read: &str) -> String {
    let load = async { Ok::<_, ()>(Some(read.as_bytes().to_vec())) };
    let sealed = cached.find(&TenantId::from("T1"), load).await.expect("it loads").expect("there is one");
    String::from_utf8(sealed.to_vec()).expect("text")
}

/// Two that have begun, so that what one keeps the other finds.
async fn two(url: &str) -> [Cached; 2] {
    let two = [open(url), open(url)];
    for one in &two {
        one.forget_all().await;
    }
    // Each told Redis that nothing counted that was there.
    for one in &two {
        found(one, "begun").await;
    }
    two[0].forget(&TenantId::from("T1")).await;
    two[1].forget(&TenantId::from("T1")).await;
    two
}

#[tokio::test]
async fn what_one_has_read_the_other_need_not_read() {
    let redis = Redis::start().expect("Redis starts");
    let [one, other] = two(&redis.url()).await;
    assert_eq!(found(&one, "old").await, "old");
    assert_eq!(found(&other, "newer").await, "old");
    one.forget(&TenantId::from("T1")).await;
    assert_eq!(found(&one, "new").await, "new");
    // The other has not heard yet; when it does it forgets what is new as well, which costs a look.
    assert_eq!(found(&other, "newest").await, "old");
    other.forget(&TenantId::from("T1")).await;
    assert_eq!(found(&other, "newest").await, "newest");
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let redis = Redis::start().expect("Redis starts");
    let [one, other] = two(&redis.url()).await;
    let tenant_id = TenantId::from("T1");
    let slow = one.find(&tenant_id, async {
        other.forget(&tenant_id).await;
        Ok::<_, ()>(Some(b"old".to_vec()))
    });
    assert_eq!(slow.await.expect("it loads").as_deref(), Some(&b"old"[..]));
    assert_eq!(found(&other, "new").await, "new");
    let tenant_id = TenantId::from("T2");
    let slow = one.find(&tenant_id, async {
        other.forget_all().await;
        Ok::<_, ()>(Some(b"old".to_vec()))
    });
    assert_eq!(slow.await.expect("it loads").as_deref(), Some(&b"old"[..]));
    let load = async { Ok::<_, ()>(Some(b"new".to_vec())) };
    let sealed = other.find(&tenant_id, load).await.expect("it loads");
    assert_eq!(sealed.as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn what_could_not_be_taken_back_is_not_found_any_more() {
    let redis = Redis::start().expect("Redis starts");
    let port = free_port().expect("a port");
    let forwarding = forward(port, redis.port()).await;
    let [one, other] = two(&format!("redis://127.0.0.1:{port}")).await;
    assert_eq!(found(&one, "old").await, "old");
    end(forwarding).await;
    for each in [&one, &other] {
        each.forget(&TenantId::from("T1")).await;
    }
    assert!(contents(&redis).await.iter().any(|(_, value)| value.contains("old")), "it is still there");
    let _forwarding = forward(port, redis.port()).await;
    // Each looks once a second whether it is back.
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(found(&other, "new").await, "new");
    assert!(contents(&redis).await.iter().any(|(_, value)| value.contains("new")), "it keeps again");
}
