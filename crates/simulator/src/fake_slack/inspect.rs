//! Read access to the simulated state for tests and benchmarks.

use std::collections::VecDeque;

use serde_json::Value;

use super::log_entries::{Call, DeliveryAttempt, ModelCompletion};
use super::message::SlackMessage;
use super::{FakeSlack, StateChange, push_bounded};

impl FakeSlack {
    /// Returns all messages of a channel (id or name) including replies, oldest first.
    pub fn messages(&self, team: &str, channel: &str) -> Vec<SlackMessage> {
        let channel = self.teams.get(team).and_then(|team| team.find_channel(channel));
        channel.map(|channel| channel.messages.values().cloned().collect()).unwrap_or_default()
    }

    /// Returns a root and its replies, oldest first.
    pub fn thread(&self, team: &str, channel: &str, thread_ts: &str) -> Vec<SlackMessage> {
        let channel = self.teams.get(team).and_then(|team| team.find_channel(channel));
        let thread = channel.map(|channel| channel.thread(thread_ts)).unwrap_or_default();
        thread.into_iter().cloned().collect()
    }

    /// Returns ephemeral messages (`chat.postEphemeral`) with the person who saw each.
    pub fn ephemerals(&self, team: &str, channel: &str) -> &[(String, SlackMessage)] {
        let channel = self.teams.get(team).and_then(|team| team.find_channel(channel));
        channel.map(|channel| channel.ephemerals.as_slice()).unwrap_or_default()
    }

    /// Returns the status shown in a thread: the assistant's text, or `processing`.
    pub fn status(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        let team = self.teams.get(team)?;
        let channel = team.find_channel(channel)?.id.clone();
        team.sessions.get(&(channel, thread_ts.to_owned()))?.visible_status()
    }

    /// Returns the title that the app gave a thread.
    pub fn title(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        let team = self.teams.get(team)?;
        let channel = team.find_channel(channel)?.id.clone();
        team.sessions.get(&(channel, thread_ts.to_owned()))?.title.clone()
    }

    /// Returns the suggested prompts (title, message) of a thread, or of the conversation for `None`.
    pub fn prompts(&self, team: &str, channel: &str, thread_ts: Option<&str>) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let prompts = || {
            let team = self.teams.get(team)?;
            let key = (team.find_channel(channel)?.id.clone(), thread_ts.unwrap_or_default().to_owned());
            team.sessions.get(&key)?.suggested_prompts.as_ref()?.as_array()
        };
        let prompts = prompts().into_iter().flatten();
        prompts.map(|prompt| (text(&prompt["title"]), text(&prompt["message"]))).collect()
    }

    /// Returns the Home tab that the app published for a person.
    pub fn home(&self, team: &str, user: &str) -> Option<Value> {
        self.teams.get(team)?.homes.get(user).cloned()
    }

    /// Returns the last 20,000 Web API calls, oldest first.
    pub fn calls(&self) -> &VecDeque<Call> {
        &self.calls
    }

    /// Returns the last 20,000 delivery attempts, oldest first.
    pub fn deliveries(&self) -> &VecDeque<DeliveryAttempt> {
        &self.deliveries
    }

    /// Returns the last 20,000 requests to the model, oldest first.
    pub fn model_requests(&self) -> &VecDeque<Value> {
        &self.model_requests
    }

    /// Returns the last 20,000 model answers that were streamed to their end, oldest first.
    pub fn model_completions(&self) -> &VecDeque<ModelCompletion> {
        &self.model_completions
    }

    pub(crate) fn log_call(&mut self, call: Call) {
        push_bounded(&mut self.calls, call);
        self.notify(StateChange::Logged);
    }

    pub(crate) fn log_delivery(&mut self, delivery: DeliveryAttempt) {
        push_bounded(&mut self.deliveries, delivery);
        self.notify(StateChange::Logged);
    }

    pub(crate) fn log_model_request(&mut self, request: Value) {
        push_bounded(&mut self.model_requests, request);
        self.notify(StateChange::Logged);
    }

    pub(crate) fn log_model_completion(&mut self, answer: ModelCompletion) {
        push_bounded(&mut self.model_completions, answer);
    }
}
