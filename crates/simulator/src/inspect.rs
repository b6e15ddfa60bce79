//! What a test sees of the workspace.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use crate::fake_slack::{Call, DeliveryAttempt, FakeSlack, ModelCompletion, SlackFile, SlackMessage};
use crate::simulator::Simulator;

impl Simulator {
    /// All messages of a channel (id or name), oldest first, replies among them.
    pub fn messages(&self, team: &str, channel: &str) -> Vec<SlackMessage> {
        self.with(|slack| slack.messages(team, channel))
    }

    /// A root and its replies, oldest first.
    pub fn thread(&self, team: &str, channel: &str, thread_ts: &str) -> Vec<SlackMessage> {
        self.with(|slack| slack.thread(team, channel, thread_ts))
    }

    /// The status shown in a thread now: the assistant's text, or `processing`.
    pub fn status(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        self.with(|slack| slack.status(team, channel, thread_ts))
    }

    /// The title the app gave a thread.
    pub fn title(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        self.with(|slack| slack.title(team, channel, thread_ts))
    }

    /// The prompts the app suggests in a thread, or in a conversation for None: title and message of each.
    pub fn prompts(&self, team: &str, channel: &str, thread_ts: Option<&str>) -> Vec<(String, String)> {
        self.with(|slack| slack.prompts(team, channel, thread_ts))
    }

    /// The Home tab the app published for a person, as Slack keeps it.
    pub fn home(&self, team: &str, user: &str) -> Option<Value> {
        self.with(|slack| slack.home(team, user))
    }

    /// What only one person was shown (`chat.postEphemeral`): that person and the message.
    pub fn ephemerals(&self, team: &str, channel: &str) -> Vec<(String, SlackMessage)> {
        self.with(|slack| slack.ephemerals(team, channel).to_vec())
    }

    /// The files of a channel's messages, oldest first, with their content.
    pub fn files(&self, team: &str, channel: &str) -> Vec<SlackFile> {
        self.messages(team, channel).into_iter().flat_map(|message| message.files).collect()
    }

    /// The last 20,000 Web API calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.with(|slack| slack.calls().iter().cloned().collect())
    }

    /// The last 20,000 attempts to deliver an event, oldest first.
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

    /// The last 20,000 requests to the model, oldest first.
    pub fn model_requests(&self) -> Vec<Value> {
        self.with(|slack| slack.model_requests().iter().cloned().collect())
    }

    /// The last 20,000 answers of the model that were streamed to their end, oldest first.
    pub fn model_answers(&self) -> Vec<ModelCompletion> {
        self.with(|slack| slack.model_completions().iter().cloned().collect())
    }
}
