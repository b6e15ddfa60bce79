//! Helpers that wait for a result and inspect it.

use std::time::Instant;

use serde_json::Value;
use simulator::Call;
use xtask::service;

use crate::fixtures::binaries;
use crate::test_app::{GRACE, TEST_TIMEOUT, TestApp};

impl TestApp {
    /// Waits until a query returns the expected result.
    pub(crate) async fn wait_for_query(&self, sql: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.database.query(sql);
            if answer == expected {
                return;
            }
            let told = format!("{sql}\nis {answer:?} and not {expected:?}\n{}", self.api_logs());
            assert!(begun.elapsed() < TEST_TIMEOUT, "{told}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Waits until a later message has a reply: by then the effects of earlier events are complete.
    pub(crate) async fn wait_settled(&self) {
        let ts = self.send_dm(GRACE, None, "say: settled");
        assert_eq!(self.wait_reply(&self.dm(GRACE), &ts).await, "settled");
    }

    /// Sends a form as a page of the same site does.
    pub(crate) async fn send_form(
        &self,
        path: &str,
        cookie: Option<&str>,
        form: &[(&str, &str)],
    ) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.web.url())).form(form);
        let request = request.header("sec-fetch-site", "same-origin");
        request.header("cookie", cookie.unwrap_or_default()).send().await.expect("web answers")
    }

    /// Runs an operator's command and returns its output.
    pub(crate) fn run_cli(&self, arguments: &[&str]) -> String {
        let program = binaries().path("web").expect("web");
        service::run_command(program, arguments, &self.settings.web_variables()).expect("it runs")
    }

    /// Returns the event id of a message.
    pub(crate) fn find_event_id(&self, message_ts: &str) -> String {
        self.database.query(&format!("select event_id from events where message_ts = '{message_ts}'"))
    }

    /// Returns the calls of a method so far.
    pub(crate) fn slack_calls(&self, method: &str) -> Vec<Call> {
        self.simulator.calls().into_iter().filter(|call| call.method == method).collect()
    }

    /// Waits until this many deliveries of an event type were acknowledged.
    pub(crate) async fn wait_acknowledged(&self, event_type: &str, times: usize) {
        let enough = |world: &simulator::FakeSlack| {
            let stored = world.deliveries().iter().filter(|delivery| delivery.status == Some(200));
            let of_type = stored.filter(|delivery| delivery.event_type == event_type);
            (of_type.count() >= times).then_some(())
        };
        if self.simulator.wait_for(enough, TEST_TIMEOUT).await.is_err() {
            panic!("{event_type} was not acknowledged {times} times\n{}", self.api_logs());
        }
    }

    /// Returns the messages of the latest request to the model.
    pub(crate) fn last_prompt(&self) -> Vec<Value> {
        let request = self.simulator.model_requests().pop().expect("the model was asked");
        request["messages"].as_array().expect("messages").clone()
    }
}
