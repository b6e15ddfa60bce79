//! Looking at the world: what tests and benchmarks ask.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{FakeSlack, SlackMessage, StateChange, push_bounded};

/// A call of a Web API method, as it ended.
#[derive(Clone, Debug)]
pub struct Call {
    /// For example `chat.postMessage`.
    pub method: String,
    /// Whose token it came with.
    pub tenant: Option<String>,
    /// What the answer said.
    pub is_ok: bool,
    /// The answer's `error`, or `http_…` for one that was no answer.
    pub error: Option<String>,
    /// The arguments, without the token.
    pub args: Value,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

/// One attempt to deliver an event.
#[derive(Clone, Debug)]
pub struct DeliveryAttempt {
    /// The envelope's `new_event_id`.
    pub event_id: String,
    /// The inner event's type.
    pub event_type: String,
    /// The inner event's `event_ts`, a message's own `ts`.
    pub event_ts: String,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// 0 for the first attempt, then 1 to 3.
    pub retry_num: u8,
    /// The answer's status; None when there was none in time.
    pub status: Option<u16>,
    /// How long the answer took.
    pub elapsed: Duration,
}

/// An answer of the model, streamed to its end.
#[derive(Clone, Debug)]
pub struct ModelCompletion {
    /// The last message of the request.
    pub last_message: String,
    /// When the request came.
    pub requested_at: DateTime<Utc>,
    /// When the first word was sent.
    pub first_token_at: DateTime<Utc>,
    /// When the end was sent.
    pub finished_at: DateTime<Utc>,
}

impl FakeSlack {
    /// All messages of a channel (id or name), oldest first, replies among them.
    pub fn messages(&self, team: &str, channel: &str) -> Vec<SlackMessage> {
        let channel = self.teams.get(team).and_then(|team| team.find_channel(channel));
        channel.map(|channel| channel.messages.values().cloned().collect()).unwrap_or_default()
    }

    /// A root and its replies, oldest first.
    pub fn thread(&self, team: &str, channel: &str, thread_ts: &str) -> Vec<SlackMessage> {
        let channel = self.teams.get(team).and_then(|team| team.find_channel(channel));
        let thread = channel.map(|channel| channel.thread(thread_ts)).unwrap_or_default();
        thread.into_iter().cloned().collect()
    }

    /// What only one person was shown (`chat.postEphemeral`): that person and the message.
    pub fn ephemerals(&self, team: &str, channel: &str) -> &[(String, SlackMessage)] {
        let channel = self.teams.get(team).and_then(|team| team.find_channel(channel));
        channel.map(|channel| channel.ephemerals.as_slice()).unwrap_or_default()
    }

    /// The status shown in a thread now: the assistant's text, or `processing`.
    pub fn status(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        let team = self.teams.get(team)?;
        let channel = team.find_channel(channel)?.id.clone();
        team.sessions.get(&(channel, thread_ts.to_owned()))?.visible_status()
    }

    /// The title the app gave a thread.
    pub fn title(&self, team: &str, channel: &str, thread_ts: &str) -> Option<String> {
        let team = self.teams.get(team)?;
        let channel = team.find_channel(channel)?.id.clone();
        team.sessions.get(&(channel, thread_ts.to_owned()))?.title.clone()
    }

    /// The prompts the app suggests in a thread, or in a conversation for None: title and message of each.
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

    /// The Home tab the app published for a person, as Slack keeps it.
    pub fn home(&self, team: &str, user: &str) -> Option<Value> {
        self.teams.get(team)?.homes.get(user).cloned()
    }

    /// The last 20,000 Web API calls, oldest first.
    pub fn calls(&self) -> &VecDeque<Call> {
        &self.calls
    }

    /// The last 20,000 attempts to deliver an event, oldest first.
    pub fn deliveries(&self) -> &VecDeque<DeliveryAttempt> {
        &self.deliveries
    }

    /// The last 20,000 requests to the model, oldest first.
    pub fn model_requests(&self) -> &VecDeque<Value> {
        &self.model_requests
    }

    /// The last 20,000 answers of the model that were streamed to their end, oldest first.
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
