//! `web events show`: the timeline of one event.

use db::event_timeline::EventTimeline;
use models::{EventId, TenantId};

use crate::cli::format_time;

/// Describes an event, one fact per line.
pub(super) fn describe_event(tenant_id: &TenantId, event_id: &EventId, timeline: &EventTimeline) -> String {
    let mut lines = vec![
        line("event", &format!("{event_id} of {tenant_id}, {}", timeline.kind)),
        line("received", &format_time(timeline.received_at)),
        line("from", Some(timeline.user_id.as_str()).filter(|user| !user.is_empty()).unwrap_or("Slack")),
        line("thread", &thread(timeline)),
        line("attempts", &timeline.attempts.to_string()),
    ];
    for failure in &timeline.failures.0 {
        let text = format!("{}  attempt {}: {}", format_time(failure.at), failure.attempt, failure.reason);
        lines.push(line("", &text));
    }
    if let Some(at) = timeline.stop_requested_at {
        lines.push(line("stopped", &format!("\"Stop\" was pressed at {}", format_time(at))));
    }
    lines.push(line("outcome", &outcome(timeline)));
    lines.push(line("in Slack", &reply(timeline)));
    lines.join("\n")
}

fn line(name: &str, text: &str) -> String {
    format!("{name:10}{text}")
}

fn thread(timeline: &EventTimeline) -> String {
    let message = timeline.message_ts.as_ref().map(|ts| format!(", message {ts}")).unwrap_or_default();
    let state = timeline.thread_state.as_deref().unwrap_or("expired");
    match timeline.thread_ts.as_str() {
        "" => format!("{}{message}; now {state}", timeline.channel_id),
        ts => format!("{} {ts}{message}; now {state}", timeline.channel_id),
    }
}

fn outcome(timeline: &EventTimeline) -> String {
    let reason = timeline.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match (&timeline.outcome, timeline.finished_at, timeline.not_before) {
        (Some(outcome), Some(at), _) => format!("{outcome} at {}{reason}", format_time(at)),
        (Some(outcome), None, _) => format!("{outcome}{reason}"),
        (None, _, Some(at)) => format!("queued, not before {}{reason}", format_time(at)),
        (None, ..) => format!("queued{reason}"),
    }
}

fn reply(timeline: &EventTimeline) -> String {
    match (&timeline.reply_ts, timeline.posting_since) {
        (Some(ts), _) => format!("replied, last message {ts}"),
        (None, Some(at)) => {
            format!("a message was being posted at {}; whether it arrived is unknown", format_time(at))
        }
        (None, None) => "no reply".to_owned(),
    }
}
