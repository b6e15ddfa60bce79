//! Waiting for what a test expects, never for longer than it takes.

use std::time::Instant;

use serde_json::Value;
use simulator::Call;

use crate::test_app::{PATIENCE, TestApp};

impl TestApp {
    /// Waits until the database answers a question so.
    pub(crate) async fn becomes(&self, sql: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.database.ask(sql);
            if answer == expected {
                return;
            }
            let told = format!("{sql}\nis {answer:?} and not {expected:?}\n{}", self.logs());
            assert!(begun.elapsed() < PATIENCE, "{told}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// The calls of a method so far.
    pub(crate) fn calls(&self, method: &str) -> Vec<Call> {
        self.simulator.calls().into_iter().filter(|call| call.method == method).collect()
    }

    /// Waits until a method was called so often.
    pub(crate) async fn called(&self, method: &str, times: usize) -> Vec<Call> {
        let enough = |world: &simulator::World| {
            let calls = world.calls().iter().filter(|call| call.method == method);
            (calls.count() >= times).then_some(())
        };
        if self.simulator.wait_for(enough, PATIENCE).await.is_err() {
            panic!("{method} was not called {times} times\n{}", self.logs());
        }
        self.calls(method)
    }

    /// Waits until so many deliveries of a type of event were acknowledged.
    pub(crate) async fn delivered(&self, event_type: &str, times: usize) {
        let enough = |world: &simulator::World| {
            let acknowledged = world.deliveries().iter().filter(|delivery| delivery.status == Some(200));
            let of_type = acknowledged.filter(|delivery| delivery.event_type == event_type);
            (of_type.count() >= times).then_some(())
        };
        if self.simulator.wait_for(enough, PATIENCE).await.is_err() {
            panic!("{event_type} was not delivered {times} times\n{}", self.logs());
        }
    }

    /// The messages of the newest request to the model.
    pub(crate) fn last_prompt(&self) -> Vec<Value> {
        let request = self.simulator.model_requests().pop().expect("the model was asked");
        request["messages"].as_array().expect("messages").clone()
    }
}
