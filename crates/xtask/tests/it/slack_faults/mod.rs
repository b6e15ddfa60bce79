//! What breaks in practice, by the number of its row in `slack-platform.md`, section 6.

mod answers;
mod deliveries;
mod installs;
mod limits;
mod long_answers;
mod steady;
mod streams;
mod tokens;

use serde_json::{Value, json};
use simulator::{Call, Message};

use crate::test_app::{PATIENCE, TEAM, TestApp};

const CHANNEL: &str = "C0GENERAL";

impl TestApp {
    /// Waits until Slack has delivered so many events of a type, and all of them were acknowledged.
    async fn delivered(&self, event_type: &str, count: usize) {
        let delivered = |world: &simulator::World| {
            let of_type = world.deliveries().iter().filter(|delivery| delivery.event_type == event_type);
            (of_type.filter(|delivery| delivery.status == Some(200)).count() >= count).then_some(())
        };
        self.simulator.wait_for(delivered, PATIENCE).await.expect("it is delivered");
    }

    /// The first answer in a thread of any team, once it is complete.
    async fn reply_in(&self, team: &str, channel: &str, thread_ts: &str) -> Message {
        let complete = |world: &simulator::World| {
            let thread = world.thread(team, channel, thread_ts);
            thread.into_iter().find(|message| message.bot_id.is_some() && !message.streaming)
        };
        let found = self.simulator.wait_for(complete, PATIENCE).await;
        assert!(found.is_ok(), "no reply in {team}\n{}", self.logs());
        self.idle().await;
        self.simulator.wait_for(complete, PATIENCE).await.expect("it is still there")
    }

    /// What Slack has refused so far: the method and why.
    fn refused(&self) -> Vec<(String, String)> {
        let calls = self.simulator.calls().into_iter();
        calls.filter_map(|call| Some((call.method, call.error?))).collect()
    }

    /// The calls of a method so far.
    fn calls_of(&self, method: &str) -> Vec<Call> {
        let mut calls = self.simulator.calls();
        calls.retain(|call| call.method == method);
        calls
    }

    /// An event of the installed workspace, in Slack's envelope.
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
