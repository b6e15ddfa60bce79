//! Rows 15 to 17: tokens that rotate, and tokens that end.

use std::time::Duration;

use serde_json::json;
use simulator::{Call, Fault};
use xtask::cluster::free_port;

use crate::test_app::{ADA, GRACE, PATIENCE, TEAM, TestApp};

/// As Slack's live.
const LIFETIME: Duration = Duration::from_secs(43_200);

/// One replica of an app whose tokens rotate, installed.
async fn rotating(own: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start_with(|settings| settings.token_lifetime = Some(LIFETIME), own).await;
    app.install().await;
    app
}

impl TestApp {
    fn refreshes(&self) -> Vec<Call> {
        let mut calls = self.calls_of("oauth.v2.access");
        calls.retain(|call| call.args["grant_type"] == "refresh_token");
        calls
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_two_replicas_that_need_a_new_token_at_once_make_one_refresh() {
    // A slot each, so that each of the two has one of the messages.
    let slot = [("MAX_CONCURRENT_REPLIES", "1")];
    let mut app = rotating(&slot).await;
    app.add_api(free_port().expect("a port"), &slot);
    app.simulator.expire_tokens(TEAM);
    app.database.ask("update installations set token_expires_at = now()");
    // Longer than a replica may need to see that there is something to do.
    app.simulator.fail("oauth.v2.access", Fault::Hang(Duration::from_millis(2500)), 1);
    let asked = [(ADA, "say: To Ada."), (GRACE, "say: To Grace.")].map(|(user, text)| {
        let dm = app.dm(user);
        (app.say(user, None, text), dm)
    });
    assert_eq!(app.reply(&asked[0].1, &asked[0].0).await, "To Ada.");
    assert_eq!(app.reply(&asked[1].1, &asked[1].0).await, "To Grace.");
    let refreshes = app.refreshes();
    assert_eq!(refreshes.len(), 1, "{refreshes:?}");
    assert!(refreshes[0].ok, "{refreshes:?}");
    for api in &app.apis {
        assert!(api.lines().iter().any(|line| line.contains("answered at try")), "each answered one");
    }
    // The pair that was stored is the one that is good.
    app.database.ask("update installations set token_expires_at = now()");
    let ts = app.say(ADA, None, "say: Once more.");
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Once more.");
    assert!(app.refreshes().len() == 2 && app.refreshes()[1].ok, "{:?}", app.refreshes());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_two_replicas_that_slack_tells_of_an_expired_token_at_once_make_one_refresh() {
    let slot = [("MAX_CONCURRENT_REPLIES", "1")];
    let mut app = rotating(&slot).await;
    app.add_api(free_port().expect("a port"), &slot);
    // As far as we know it lives for hours.
    app.simulator.expire_tokens(TEAM);
    let asked = [ADA, GRACE].map(|user| (app.dm(user), app.say(user, None, "say: All the same.")));
    for (dm, ts) in &asked {
        assert_eq!(app.reply(dm, ts).await, "All the same.");
    }
    let refreshes = app.refreshes();
    assert!(refreshes.len() == 1 && refreshes[0].ok, "{refreshes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_a_token_that_ends_while_nobody_asks_is_refreshed_in_time() {
    let mut app = rotating(&[]).await;
    app.database.ask("update installations set token_expires_at = now() + interval '1 hour'");
    let port = app.settings.ports.api;
    app.apis.clear();
    app.add_api(port, &[]);
    let begun = std::time::Instant::now();
    let fresh = "select token_expires_at > now() + interval '11 hours' from installations";
    while app.database.ask(fresh) != "t" {
        assert!(begun.elapsed() < PATIENCE, "nobody refreshed it\n{}", app.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.refreshes().len(), 1);
    let ts = app.say(ADA, None, "say: Fresh.");
    assert_eq!(app.reply(&app.dm(ADA), &ts).await, "Fresh.");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_a_token_that_ends_in_mid_work_is_refreshed_and_the_same_message_filled() {
    let app = rotating(&[]).await;
    app.simulator.set_model_behaviour("ttft=0&gap=100");
    let dm = app.dm(ADA);
    let text = "There is time enough for a token to end in the middle of this, and nothing of it is lost.";
    let ts = app.say(ADA, None, &format!("say: {text}"));
    let begun = |world: &simulator::World| {
        world.thread(TEAM, &dm, &ts).iter().any(|message| message.streaming).then_some(())
    };
    app.simulator.wait_for(begun, PATIENCE).await.expect("the answer begins");
    app.simulator.expire_tokens(TEAM);
    assert_eq!(app.reply(&dm, &ts).await, text);
    assert_eq!(app.refreshes().iter().filter(|call| call.ok).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_a_revoked_token_does_not_come_back_in_any_replica() {
    let mut app = rotating(&[]).await;
    app.add_api(free_port().expect("a port"), &[]);
    app.balance();
    for text in ["say: One.", "say: Two."] {
        let ts = app.say(ADA, None, text);
        app.reply(&app.dm(ADA), &ts).await;
    }
    // A refresh is on its way while the token is revoked.
    let hang = Duration::from_secs(1);
    app.simulator.fail("oauth.v2.access", Fault::Hang(hang), 1);
    app.database.ask("update installations set token_expires_at = now() + interval '1 hour'");
    let dm = app.dm(ADA);
    app.say(ADA, None, "say: Meanwhile.");
    let leased = "select refresh_lease is not null from installations";
    let begun = std::time::Instant::now();
    while app.database.ask(leased) != "t" {
        assert!(begun.elapsed() < PATIENCE, "no refresh\n{}", app.logs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.simulator.revoke_tokens(TEAM);
    app.delivered("tokens_revoked", 1).await;
    app.idle().await;
    tokio::time::sleep(hang).await;
    let disabled = "select disabled_reason is not null from installations";
    assert_eq!(app.database.ask(disabled), "t");
    // From now on nobody calls with it, whichever replica an event reaches.
    let before = app.simulator.calls().len();
    for at in 0..4 {
        let event = json!({"type": "message", "channel": dm, "channel_type": "im", "user": ADA,
                           "text": "Anybody?", "ts": format!("1.00000{at}"), "event_ts": "1.0"});
        let body = app.envelope(&format!("EvREVOKED{at}"), 0, event).to_string();
        assert_eq!(app.simulator.deliver_raw(body).await.expect("an answer"), 200);
    }
    app.idle().await;
    assert_eq!(app.simulator.calls().len(), before, "{:?}", &app.simulator.calls()[before..]);
    assert_eq!(app.database.ask(disabled), "t");
    let reasons = "select distinct outcome, reason like 'the token is dead%' from events
                   where event_id like '%EvREVOKED%'";
    assert_eq!(app.database.ask(reasons), "set_aside|t");
}
