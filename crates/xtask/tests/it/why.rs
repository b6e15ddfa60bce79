//! "Why no reply?": whatever Slack sent can be looked up with its outcome and its reason.

use serde_json::json;
use simulator::OtherBot;

use crate::test_app::{ADA, GRACE, TEAM, TestApp};

/// All that is known of what came: what was done about, and what was not.
const FATES: &str = "(select tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason, received_at from events
     union all
     select tenant_id, event_id, channel_id, message_ts, user_id, outcome, reason, received_at from ignored_events) as fates";

impl TestApp {
    fn fate(&self, message_ts: &str) -> String {
        self.database.ask(&format!(
            "select outcome, coalesce(reason, '') from {FATES} where message_ts = '{message_ts}'
             order by outcome, reason"
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_an_outcome_and_a_reason_by_its_id_its_channel_and_its_time() {
    let app = TestApp::installed().await;
    let bot = app.simulator.installation(TEAM).expect("installed").bot_user_id;
    let asked = app.post(ADA, "general", None, "@bot say: Yes.");
    app.reply("general", &asked).await;
    let lunch = app.post(ADA, "general", None, "lunch?");
    let reply = app.post(GRACE, "general", Some(&lunch), "yes");
    let robot = app.simulator.post_as_other(TEAM, "general", None, "beep", OtherBot::Integration);
    let robot = robot.expect("Slack takes it");
    app.simulator.edit(TEAM, "general", &lunch, &format!("<@{bot}> lunch?")).expect("it is there");
    app.simulator.delete(TEAM, "general", &reply).expect("it is there");
    app.simulator.deliver(TEAM, json!({"type": "reaction_added", "user": ADA, "event_ts": "1.000001"}));
    app.simulator.stop(TEAM, ADA, "general", &lunch);
    app.simulator.open_home(TEAM, ADA, "home");
    app.simulator.look_at(TEAM, ADA, Some("random"));
    app.simulator.deliver_times(3, app.message(ADA, "general", None, "tea?")).expect("Slack takes it");
    app.acknowledged("reaction_added", 1).await;
    app.acknowledged("agent_session_stopped", 1).await;
    app.idle().await;

    // By its id: each, and each once, however often it was delivered.
    let mut ids: Vec<String> =
        app.simulator.deliveries().into_iter().map(|delivery| delivery.event_id).collect();
    ids.sort();
    ids.dedup();
    let list = format!("'{}'", ids.join("','"));
    let found = format!("select count(distinct event_id) from {FATES} where event_id in ({list})");
    app.becomes(&found, &ids.len().to_string()).await;
    let open = format!("select count(*) from {FATES} where tenant_id <> '{TEAM}' or outcome is null");
    assert_eq!(app.database.ask(&open), "0");
    let without = "select count(*) from ignored_events where outcome = '' or reason = ''";
    assert_eq!(app.database.ask(without), "0");

    // By its place and its reason.
    assert_eq!(app.fate(&reply), "not_addressed|a thread in which the bot takes no part");
    assert_eq!(app.fate(&robot), "from_bot|another bot's message");
    assert!(app.fate(&lunch).contains("unsupported|an edit"), "{}", app.fate(&lunch));
    assert!(app.fate(&lunch).contains("not_addressed|a channel message without a mention"));
    // A mention comes as two events; which of them was first does not matter.
    assert_eq!(app.fate(&asked), "answered|\nduplicate|the same message came as another event");
    let in_general = format!("select count(*) > 8 from {FATES} where channel_id = 'C0GENERAL'");
    assert_eq!(app.database.ask(&in_general), "t");
    // And by its time.
    let of_late = format!("select count(*) from {FATES} where received_at < now() - interval '1 minute'");
    assert_eq!(app.database.ask(&of_late), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ignored_is_forgotten_after_a_week() {
    let mut app = TestApp::installed().await;
    app.post(ADA, "general", None, "lunch?");
    app.becomes("select count(*) from ignored_events", "1").await;
    app.database.ask("update ignored_events set received_at = now() - interval '8 days'");
    app.apis.clear();
    app.add_api(app.settings.ports.api, &[]);
    app.becomes("select count(*) from ignored_events", "0").await;
}
