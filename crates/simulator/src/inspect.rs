//! Read access to the workspace for tests.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use crate::fake_slack::{Call, DeliveryAttempt, FakeSlack, ModelCompletion, SlackFile, SlackMessage};
use crate::simulator::Simulator;

impl Simulator {
    /// Returns all messages of a channel (id or name) including replies, oldest first.
    pub fn messages(&self, team: &str, channel: &str) -> Vec<SlackMessage> {
        self.with(|slack| slack.messages(team, channel))
    }

    /// Returns a root and its replies, oldest first.
    pub fn thread(&self, team: &str, channel: &str, thread_ts: &str) -> Vec<SlackMessage> {
        self.with(|slack| slack.thread(team, channel, thread_ts))
    }

    /// Returns the status shown in a thread: the assistant's text, or `processing`.
    pub fn status(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        self.with(|slack| slack.status(team, channel, thread_ts))
    }

    /// Returns the title that the app gave a thread.
    pub fn title(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        self.with(|slack| slack.title(team, channel, thread_ts))
    }

    /// Returns the suggested prompts (title, message) of a thread, or of the conversation for `None`.
    pub fn prompts(&self, team: &str, channel: &str, thread_ts: Option<&str>) -> Vec<(String, String)> {
        self.with(|slack| slack.prompts(team, channel, thread_ts))
    }

    /// Returns the Home tab that the app published for a person.
    pub fn home(&self, team: &str, user: &str) -> Option<Value> {
        self.with(|slack| slack.home(team, user))
    }

    /// Returns ephemeral messages (`chat.postEphemeral`) with the person who saw each.
    pub fn ephemerals(&self, team: &str, channel: &str) -> Vec<(String, SlackMessage)> {
        self.with(|slack| slack.ephemerals(team, channel).to_vec())
    }

    /// Returns the files of a channel's messages with their content, oldest first.
    pub fn files(&self, team: &str, channel: &str) -> Vec<SlackFile> {
        self.messages(team, channel).into_iter().flat_map(|message| message.files).collect()
    }

    /// Returns the last 20,000 Web API calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.with(|slack| slack.calls().iter().cloned().collect())
    }

    /// Returns the last 20,000 delivery attempts, oldest first.
    pub fn deliveries(&self) -> Vec<DeliveryAttempt> {
        self.with(|slack| slack.deliveries().iter().cloned().collect())
    }

    /// Waits until `look` finds something. It looks after every change, so it should be quick.
    /// Fails after `timeout`.
    pub async fn wait_for<T>(
        &self,
        mut condition: impl FnMut(&FakeSlack) -> Option<T>,
        timeout: Duration,
    ) -> anyhow::Result<T> {
        let mut changes = self.state.changes.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = self.with(|slack| condition(slack)) {
                    return Ok(found);
                }
                if let Err(RecvError::Closed) = changes.recv().await {
                    bail!("the simulator is gone");
                }
                // One look is enough for all that has piled up.
                changes = changes.resubscribe();
            }
        };
        tokio::time::timeout(timeout, waiting)
            .await
            .with_context(|| format!("what was waited for did not come within {timeout:?}"))?
    }

    /// Returns the last 20,000 requests to the model, oldest first.
    pub fn model_requests(&self) -> Vec<Value> {
        self.with(|slack| slack.model_requests().iter().cloned().collect())
    }

    /// Returns the last 20,000 model answers that were streamed to their end, oldest first.
    pub fn model_answers(&self) -> Vec<ModelCompletion> {
        self.with(|slack| slack.model_completions().iter().cloned().collect())
    }
}
