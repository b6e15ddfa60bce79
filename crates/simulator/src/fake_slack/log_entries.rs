//! Log entries: Web API calls, event deliveries and model answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

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
