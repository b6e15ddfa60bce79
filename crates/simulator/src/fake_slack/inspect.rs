//! Read access to the simulated state for tests and benchmarks.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{FakeSlack, SlackMessage, StateChange, push_bounded};

/// A completed call of a Web API method.
#[derive(Clone, Debug)]
pub struct Call {
    /// For example `chat.postMessage`.
    pub method: String,
    /// The tenant whose token it used.
    pub tenant: Option<String>,
    /// The response's `ok`.
    pub is_ok: bool,
    /// The response's `error`, or `http_…` for an HTTP failure.
    pub error: Option<String>,
    /// The arguments, without the token.
    pub args: Value,
    /// Arrival time.
    pub received_at: DateTime<Utc>,
    /// End time.
    pub finished_at: DateTime<Utc>,
}

/// One attempt to deliver an event.
#[derive(Clone, Debug)]
pub struct DeliveryAttempt {
    /// The envelope's `event_id`.
    pub event_id: String,
    /// The inner event's type.
    pub event_type: String,
    /// The inner event's `event_ts`, a message's own `ts`.
    pub event_ts: String,
    /// Send time.
    pub sent_at: DateTime<Utc>,
    /// 0 for the first attempt, then 1 to 3.
    pub retry_num: u8,
    /// The response's status; `None` on a time-out.
    pub status: Option<u16>,
    /// Response time.
    pub elapsed: Duration,
}

/// A model answer that was streamed to its end.
#[derive(Clone, Debug)]
pub struct ModelCompletion {
    /// The last message of the request.
    pub last_message: String,
    /// Arrival time of the request.
    pub requested_at: DateTime<Utc>,
    /// Time of the first word.
    pub first_token_at: DateTime<Utc>,
    /// Time of the end.
    pub finished_at: DateTime<Utc>,
}

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
