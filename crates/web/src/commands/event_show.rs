//! `web events show`: one event, told from its coming to its end.

use db::event_timeline::EventTimeline;
use models::{EventId, TenantId};

use super::format_time;

/// A line for each thing that is known.
pub(super) fn describe_event(tenant_id: &TenantId, event_id: &EventId, story: &EventTimeline) -> String {
    let mut lines = vec![
        line("event", &format!("{event_id} of {tenant_id}, {}", story.kind)),
        line("received", &format_time(story.received_at)),
        line("from", Some(story.user_id.as_str()).filter(|user| !user.is_empty()).unwrap_or("Slack")),
        line("thread", &thread(story)),
        line("tries", &story.attempts.to_string()),
    ];
    for failure in &story.failures.0 {
        let text = format!("{}  try {}: {}", format_time(failure.at), failure.attempt, failure.reason);
        lines.push(line("", &text));
    }
    if let Some(at) = story.stop_requested_at {
        lines.push(line("stopped", &format!("somebody pressed \"Stop\" at {}", format_time(at))));
    }
    lines.push(line("outcome", &outcome(story)));
    lines.push(line("in Slack", &reply(story)));
    lines.join("\n")
}

fn line(name: &str, text: &str) -> String {
    format!("{name:10}{text}")
}

fn thread(story: &EventTimeline) -> String {
    let message = story.message_ts.as_ref().map(|ts| format!(", message {ts}")).unwrap_or_default();
    let state = story.thread_state.as_deref().unwrap_or("forgotten");
    match story.thread_ts.as_str() {
        "" => format!("{}{message}; now {state}", story.channel_id),
        ts => format!("{} {ts}{message}; now {state}", story.channel_id),
    }
}

fn outcome(story: &EventTimeline) -> String {
    let reason = story.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match (&story.outcome, story.finished_at, story.not_before) {
        (Some(outcome), Some(at), _) => format!("{outcome} at {}{reason}", format_time(at)),
        (Some(outcome), None, _) => format!("{outcome}{reason}"),
        (None, _, Some(at)) => format!("still to be done, not before {}{reason}", format_time(at)),
        (None, ..) => format!("still to be done{reason}"),
    }
}

fn reply(story: &EventTimeline) -> String {
    match (&story.reply_ts, story.posting_since) {
        (Some(ts), _) => format!("a reply stands, its last message is {ts}"),
        (None, Some(at)) => {
            format!("a message was being posted at {}, and whether it stands is not known", format_time(at))
        }
        (None, None) => "no reply of this event stands".to_owned(),
    }
}
