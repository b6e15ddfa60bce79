//! Faults of Slack that occur in practice. Each test names its number in the list of known faults.

mod event_deliveries;
mod history_reads;
mod installs;
mod long_answers;
mod markdown_output;
mod slack_rate_limits;
mod streams;
mod tokens;

use serde_json::{Value, json};
use simulator::SlackMessage;

use crate::test_app::{TEAM, TEST_TIMEOUT, TestApp};

const GENERAL_CHANNEL: &str = "C0GENERAL";

impl TestApp {
    /// Waits until Slack has delivered this many events of a type, all acknowledged.
    async fn wait_delivered(&self, event_type: &str, count: usize) {
        let delivered = |world: &simulator::FakeSlack| {
            let of_type = world.deliveries().iter().filter(|delivery| delivery.event_type == event_type);
            (of_type.filter(|delivery| delivery.status == Some(200)).count() >= count).then_some(())
        };
        self.simulator.wait_for(delivered, TEST_TIMEOUT).await.expect("it is delivered");
    }

    /// Returns the first reply in a thread of any team, once it is complete.
    async fn wait_reply_in_team(&self, team: &str, channel: &str, thread_ts: &str) -> SlackMessage {
        let complete = |world: &simulator::FakeSlack| {
            let thread = world.thread(team, channel, thread_ts);
            thread.into_iter().find(|message| message.bot_id.is_some() && !message.is_streaming)
        };
        let found = self.simulator.wait_for(complete, TEST_TIMEOUT).await;
        assert!(found.is_ok(), "no reply in {team}\n{}", self.api_logs());
        self.wait_idle().await;
        self.simulator.wait_for(complete, TEST_TIMEOUT).await.expect("it is still there")
    }

    /// Returns the calls that Slack has refused so far: method and error.
    fn refused_calls(&self) -> Vec<(String, String)> {
        let calls = self.simulator.calls().into_iter();
        calls.filter_map(|call| Some((call.method, call.error?))).collect()
    }

    /// Returns an event of the installed workspace in Slack's envelope.
    pub(crate) fn envelope(&self, event_id: &str, event_time: i64, event: Value) -> Value {
        json!({
            "type": "event_callback", "event_id": event_id, "event_time": event_time, "team_id": TEAM,
            "authorizations": [{
                "enterprise_id": null, "team_id": TEAM, "user_id": "U0BOT0ACME", "is_bot": true,
                "is_enterprise_install": false,
            }],
            "event": event,
        })
    }
}
