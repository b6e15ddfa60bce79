//! Delivers events as Slack does: signed, with a deadline and three retries.
//! Source: <https://docs.slack.dev/apis/events-api>

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use chrono::Utc;
use serde_json::Value;

use crate::fake_slack::DeliveryAttempt;
use crate::request_urls::{RequestUrl, signed_request};
use crate::state::SimulatorState;

/// Slack follows at most two redirects.
const MAX_DELIVERY_REDIRECTS: usize = 2;

/// Builds the HTTP client that posts events.
pub(crate) fn http_client(ack_timeout: Duration) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(ack_timeout)
        .redirect(reqwest::redirect::Policy::limited(MAX_DELIVERY_REDIRECTS))
        .build()
        .context("the HTTP client for events")
}

/// Retry headers that describe the failed attempt.
struct FailedAttempt {
    reason: &'static str,
    is_final: bool,
}

/// Delivers an envelope until the app acknowledges it or the retries run out.
pub(crate) async fn deliver_with_retries(shared: Weak<SimulatorState>, body: Bytes) {
    let mut failed: Option<FailedAttempt> = None;
    for attempt in 0..=3_u8 {
        let Some(delay) = shared.upgrade().map(|shared| match attempt {
            0 => Duration::ZERO,
            n => shared.settings.retry_delays[usize::from(n) - 1],
        }) else {
            return;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let Some(shared) = shared.upgrade() else { return };
        let retry = failed.as_ref().map(|failed| (attempt, failed.reason));
        match attempt_delivery(&shared, body.clone(), retry).await {
            Ok(()) => return,
            Err(now) if now.is_final => return,
            Err(now) => failed = Some(now),
        }
    }
    tracing::warn!(reason = failed.map(|failed| failed.reason), "an event is given up after three retries");
}

async fn attempt_delivery(
    shared: &Arc<SimulatorState>,
    body: Bytes,
    retry: Option<(u8, &'static str)>,
) -> Result<(), FailedAttempt> {
    let (started, sent_at) = (Instant::now(), Utc::now());
    let answer = post_event(shared, body.clone(), retry).await;
    let envelope: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let delivery = DeliveryAttempt {
        event_id: text(&envelope["event_id"]),
        event_type: text(&envelope["event"]["type"]),
        event_ts: text(&envelope["event"]["event_ts"]),
        sent_at,
        retry_num: retry.map_or(0, |(attempt, _)| attempt),
        status: answer.as_ref().ok().map(|answer| answer.status().as_u16()),
        elapsed: started.elapsed(),
    };
    shared.with(|slack| slack.log_delivery(delivery));
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let no_retry = answer.headers().get("x-slack-no-retry").is_some_and(|value| value == "1");
            Err(FailedAttempt { reason: "http_error", is_final: no_retry })
        }
        Err(error) => {
            let reason = match &error {
                error if error.is_timeout() => "http_timeout",
                error if error.is_redirect() => "too_many_redirects",
                _ => "connection_failed",
            };
            Err(FailedAttempt { reason, is_final: false })
        }
    }
}

/// Posts an event's signed bytes to the next of the app's addresses.
pub(crate) async fn post_event(
    shared: &SimulatorState,
    body: Bytes,
    retry: Option<(u8, &'static str)>,
) -> reqwest::Result<reqwest::Response> {
    let mut request = signed_request(shared, RequestUrl::Events, body);
    if let Some((attempt, reason)) = retry {
        request =
            request.header("x-slack-retry-num", u64::from(attempt)).header("x-slack-retry-reason", reason);
    }
    request.send().await
}
