//! "Why no reply?": every event from Slack can be looked up with its outcome and reason.

use serde_json::json;
use simulator::OtherBot;

use crate::test_app::{ADA, GRACE, TEAM, TestApp};

/// All events: in the queue, and in the history.
const ALL_EVENTS_SQL: &str = "(select tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason, received_at from events
     union all
     select tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason, received_at from ignored_events) as fates";

impl TestApp {
    fn event_outcome(&self, message_ts: &str) -> String {
        self.database.query(&format!(
            "select outcome, coalesce(reason, '') from {ALL_EVENTS_SQL} where message_ts = '{message_ts}'
             order by outcome, reason"
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_outcome() {
    let app = TestApp::installed().await;
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    let asked = app.post(ADA, "general", None, "@bot say: Yes.");
    app.wait_reply("general", &asked).await;
    let lunch = app.post(ADA, "general", None, "lunch?");
    let reply = app.post(GRACE, "general", Some(&lunch), "yes");
    let robot = app.simulator.post_as_other_bot(TEAM, "general", None, "beep", OtherBot::LegacyIntegration);
    let robot = robot.expect("Slack takes it");
    app.simulator.edit(TEAM, "general", &lunch, &format!("<@{bot}> lunch?")).expect("it is there");
    app.simulator.delete(TEAM, "general", &reply).expect("it is there");
    app.simulator.deliver_event(TEAM, json!({"type": "reaction_added", "user": ADA, "event_ts": "1.000001"}));
    app.simulator.stop_session(TEAM, ADA, "general", &lunch);
    app.simulator.open_app_tab(TEAM, ADA, "home");
    app.simulator.view_channel(TEAM, ADA, Some("random"));
    app.simulator.post_with_copies(3, app.new_message(ADA, "general", None, "tea?")).expect("Slack takes it");
    app.wait_acknowledged("reaction_added", 1).await;
    app.wait_acknowledged("agent_session_stopped", 1).await;
    app.wait_idle().await;

    // By id: every event, exactly once, however often it was delivered.
    let mut ids: Vec<String> =
        app.simulator.deliveries().into_iter().map(|delivery| delivery.event_id).collect();
    ids.sort();
    ids.dedup();
    let list = format!("'{}'", ids.join("','"));
    let found = format!("select count(distinct event_id) from {ALL_EVENTS_SQL} where event_id in ({list})");
    app.wait_for_query(&found, &ids.len().to_string()).await;
    let open =
        format!("select count(*) from {ALL_EVENTS_SQL} where tenant_id <> '{TEAM}' or outcome is null");
    assert_eq!(app.database.query(&open), "0");
    let without = "select count(*) from ignored_events where outcome = '' or reason = ''";
    assert_eq!(app.database.query(without), "0");

    // By channel and reason.
    assert_eq!(app.event_outcome(&reply), "not_addressed|a thread in which the bot takes no part");
    assert_eq!(app.event_outcome(&robot), "from_bot|another bot's message");
    assert!(app.event_outcome(&lunch).contains("unsupported|an edit"), "{}", app.event_outcome(&lunch));
    assert!(app.event_outcome(&lunch).contains("not_addressed|a channel message without a mention"));
    // A mention arrives as two events, in any order.
    assert_eq!(app.event_outcome(&asked), "answered|\nduplicate|the same message came as another event");
    let in_general = format!("select count(*) > 8 from {ALL_EVENTS_SQL} where channel_id = 'C0GENERAL'");
    assert_eq!(app.database.query(&in_general), "t");
    // And by time.
    let of_late =
        format!("select count(*) from {ALL_EVENTS_SQL} where received_at < now() - interval '1 minute'");
    assert_eq!(app.database.query(&of_late), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_events_expire() {
    let mut app = TestApp::installed().await;
    app.post(ADA, "general", None, "lunch?");
    app.wait_for_query("select count(*) from ignored_events", "1").await;
    app.database.query("update ignored_events set received_at = now() - interval '8 days'");
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[]);
    app.wait_for_query("select count(*) from ignored_events", "0").await;
}
