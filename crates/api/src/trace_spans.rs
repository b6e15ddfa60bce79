//! The spans of an event's trace, from its arrival to its end. Calls to Slack and to the model have spans of
//! their own in `slack` and `llm`. Spans contain ids, names and numbers, but no message text.

use db::threads::Job;
use models::{EventPayload, InboundEvent};
use service::OTEL_TARGET;
use tracing::Span;
use tracing::field::Empty;

/// Returns the span in which an event is stored.
pub(crate) fn store(event: &InboundEvent) -> Span {
    tracing::info_span!(
        target: OTEL_TARGET,
        "store",
        otel.kind = "producer",
        otel.status_code = Empty,
        tenant_id = %event.tenant_id,
        event_id = %event.event_id,
        event_kind = event.payload.kind(),
    )
}

/// Returns the span of one try of an event; its payload may be unreadable.
pub(crate) fn job(job: &Job, payload: Option<&EventPayload>) -> Span {
    tracing::info_span!(
        target: OTEL_TARGET,
        "work",
        otel.kind = "consumer",
        otel.status_code = Empty,
        tenant_id = %job.tenant_id,
        event_id = %job.event_id,
        event_kind = payload.map(EventPayload::kind),
        channel_type = channel_type(job),
        attempt = job.attempt,
        outcome = Empty,
    )
}

/// Emits a span that records the start of a try. The try's own span is exported only when it ends, and it may
/// be killed before.
pub(crate) fn emit_claim(job: &Job) {
    let claim =
        tracing::info_span!(target: OTEL_TARGET, "claim", event_id = %job.event_id, attempt = job.attempt);
    claim.in_scope(|| ());
}

/// Returns the span of one transaction.
pub(crate) fn database(name: &'static str) -> Span {
    tracing::info_span!(
        target: OTEL_TARGET,
        "database",
        otel.name = name,
        otel.kind = "client",
        db.system.name = "postgresql",
    )
}

/// Returns the span of a background task, which may outlive its request or event.
pub(crate) fn task(name: &'static str) -> Span {
    tracing::info_span!(target: OTEL_TARGET, "task", otel.name = name)
}

pub(crate) fn set_error(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// Returns Slack's name for the kind of channel, by the first letter of its id.
fn channel_type(job: &Job) -> Option<&'static str> {
    match job.thread.channel_id.as_str().as_bytes().first()? {
        b'D' => Some("im"),
        b'C' => Some("channel"),
        b'G' => Some("group"),
        _ => None,
    }
}
