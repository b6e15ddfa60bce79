//! Faults 15 to 17: rotating tokens and revoked tokens.

use std::time::Duration;

use serde_json::json;
use simulator::{Call, InjectedFault};
use xtask::cluster::free_port;

use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

/// The lifetime of Slack's tokens.
const TOKEN_LIFETIME: Duration = Duration::from_secs(43_200);

/// Starts one replica of an app with token rotation, and installs it.
async fn start_with_token_rotation(extra_variables: &[(&str, &str)]) -> TestApp {
    let app =
        TestApp::start_with(|settings| settings.token_lifetime = Some(TOKEN_LIFETIME), extra_variables).await;
    app.install().await;
    app
}

impl TestApp {
    fn refresh_calls(&self) -> Vec<Call> {
        let mut calls = self.slack_calls("oauth.v2.access");
        calls.retain(|call| call.args["grant_type"] == "refresh_token");
        calls
    }
}

/// Fault 15.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_refresh_expiring_token_once() {
    // One slot each, so that each of the two has one of the messages.
    let slot = [("MAX_CONCURRENT_REPLIES", "1")];
    let mut app = start_with_token_rotation(&slot).await;
    app.add_api(free_port().expect("a port"), &slot);
    app.simulator.expire_tokens(TEAM);
    app.database.query("update installations set token_expires_at = now()");
    // The first replica's slot is taken for this long, and the second one notices new work within a second.
    app.simulator.inject_fault("oauth.v2.access", InjectedFault::Delay(Duration::from_secs(6)), 1);
    let asked = [(ADA, "say: To Ada."), (GRACE, "say: To Grace.")].map(|(user, text)| {
        let dm = app.dm(user);
        (app.send_dm(user, None, text), dm)
    });
    assert_eq!(app.wait_reply(&asked[0].1, &asked[0].0).await, "To Ada.");
    assert_eq!(app.wait_reply(&asked[1].1, &asked[1].0).await, "To Grace.");
    let refreshes = app.refresh_calls();
    assert_eq!(refreshes.len(), 1, "{refreshes:?}");
    assert!(refreshes[0].is_ok, "{refreshes:?}");
    for api in &app.apis {
        assert!(api.log_lines().iter().any(|line| line.contains("answered at try")), "each answered one");
    }
    // The stored pair is the valid one.
    app.database.query("update installations set token_expires_at = now()");
    let ts = app.send_dm(ADA, None, "say: Once more.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Once more.");
    assert!(app.refresh_calls().len() == 2 && app.refresh_calls()[1].is_ok, "{:?}", app.refresh_calls());
}

/// Fault 15.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_refresh_rejected_token_once() {
    let slot = [("MAX_CONCURRENT_REPLIES", "1")];
    let mut app = start_with_token_rotation(&slot).await;
    app.add_api(free_port().expect("a port"), &slot);
    // The service still assumes hours of validity.
    app.simulator.expire_tokens(TEAM);
    let asked = [ADA, GRACE].map(|user| (app.dm(user), app.send_dm(user, None, "say: All the same.")));
    for (dm, ts) in &asked {
        assert_eq!(app.wait_reply(dm, ts).await, "All the same.");
    }
    let refreshes = app.refresh_calls();
    assert!(refreshes.len() == 1 && refreshes[0].is_ok, "{refreshes:?}");
}

/// Fault 16.
#[tokio::test(flavor = "multi_thread")]
async fn idle_token_is_refreshed_in_time() {
    let mut app = start_with_token_rotation(&[]).await;
    app.database.query("update installations set token_expires_at = now() + interval '1 hour'");
    let port = app.settings.ports.api;
    app.apis.clear();
    app.add_api(port, &[]);
    let begun = std::time::Instant::now();
    let fresh = "select token_expires_at > now() + interval '11 hours' from installations";
    while app.database.query(fresh) != "t" {
        assert!(begun.elapsed() < TEST_TIMEOUT, "not refreshed\n{}", app.api_logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.refresh_calls().len(), 1);
    let ts = app.send_dm(ADA, None, "say: Fresh.");
    assert_eq!(app.wait_reply(&app.dm(ADA), &ts).await, "Fresh.");
}

/// Fault 16.
#[tokio::test(flavor = "multi_thread")]
async fn token_expiring_mid_reply_is_refreshed() {
    let app = start_with_token_rotation(&[]).await;
    app.simulator.set_model_options("ttft=0&gap=100");
    let dm = app.dm(ADA);
    let text = "There is time enough for a token to end in the middle of this, and nothing of it is lost.";
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let begun = |world: &simulator::FakeSlack| {
        world.thread(TEAM, &dm, &ts).iter().any(|message| message.is_streaming).then_some(())
    };
    app.simulator.wait_for(begun, TEST_TIMEOUT).await.expect("the answer begins");
    app.simulator.expire_tokens(TEAM);
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    assert_eq!(app.refresh_calls().iter().filter(|call| call.is_ok).count(), 1);
}

/// Fault 17.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_token_is_never_used_again() {
    let mut app = start_with_token_rotation(&[]).await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance_events();
    for text in ["say: One.", "say: Two."] {
        let ts = app.send_dm(ADA, None, text);
        app.wait_reply(&app.dm(ADA), &ts).await;
    }
    // A refresh is in progress while the token is revoked.
    let hang = Duration::from_secs(1);
    app.simulator.inject_fault("oauth.v2.access", InjectedFault::Delay(hang), 1);
    app.database.query("update installations set token_expires_at = now() + interval '1 hour'");
    let dm = app.dm(ADA);
    app.send_dm(ADA, None, "say: Meanwhile.");
    let leased = "select refresh_lease is not null from installations";
    let begun = std::time::Instant::now();
    while app.database.query(leased) != "t" {
        assert!(begun.elapsed() < TEST_TIMEOUT, "no refresh\n{}", app.api_logs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.simulator.revoke_tokens(TEAM);
    app.wait_delivered("tokens_revoked", 1).await;
    app.wait_idle().await;
    tokio::time::sleep(hang).await;
    let disabled = "select disabled_reason is not null from installations";
    assert_eq!(app.database.query(disabled), "t");
    // From now on no replica uses it, whichever one an event reaches.
    let before = app.simulator.calls().len();
    for at in 0..4 {
        let event = json!({"type": "message", "channel": dm, "channel_type": "im", "user": ADA,
                           "text": "Anybody?", "ts": format!("1.00000{at}"), "event_ts": "1.0"});
        let body = app.envelope(&format!("EvREVOKED{at}"), 0, event).to_string();
        assert_eq!(app.simulator.deliver_raw(body).await.expect("an answer"), 200);
    }
    app.wait_idle().await;
    assert_eq!(app.simulator.calls().len(), before, "{:?}", &app.simulator.calls()[before..]);
    assert_eq!(app.database.query(disabled), "t");
    let reasons = "select distinct outcome, reason like 'the token was revoked%' from events
                   where event_id like '%EvREVOKED%'";
    assert_eq!(app.database.query(reasons), "set_aside|t");
}
