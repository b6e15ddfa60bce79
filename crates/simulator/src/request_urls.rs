//! The app's request URLs and Slack's request signature.
//! Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::CONTENT_TYPE;
use slack::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

use crate::state::SimulatorState;

/// The app's three request URLs; within one replica they differ only in the last path segment.
#[derive(Clone, Copy)]
pub(crate) enum RequestUrl {
    Events,
    Interactions,
    Commands,
}

impl RequestUrl {
    fn path(self) -> &'static str {
        match self {
            Self::Events => "/slack/events",
            Self::Interactions => "/slack/interactions",
            Self::Commands => "/slack/commands",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Events => "application/json",
            Self::Interactions | Self::Commands => "application/x-www-form-urlencoded",
        }
    }

    /// Returns this request URL of the next address in turn.
    pub(crate) fn resolve(self, shared: &SimulatorState) -> String {
        let urls = shared.events_urls.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = shared.next_url_index.fetch_add(1, Ordering::Relaxed);
        let events = urls.get(turn % urls.len().max(1)).map(String::as_str).unwrap_or_default();
        events
            .strip_suffix(Self::Events.path())
            .map_or_else(|| events.to_owned(), |base| format!("{base}{}", self.path()))
    }
}

/// Builds a request with this body, signed now.
pub(crate) fn signed_request(
    shared: &SimulatorState,
    door: RequestUrl,
    body: Bytes,
) -> reqwest::RequestBuilder {
    let now = Utc::now().timestamp();
    shared
        .http
        .post(door.resolve(shared))
        .header(CONTENT_TYPE, door.content_type())
        .header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
        .header(TIMESTAMP_HEADER, now)
        .header(SIGNATURE_HEADER, shared.signing_secret.sign(now, &body))
        .body(body)
}
