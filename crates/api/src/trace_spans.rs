//! The spans of an event's trace, from its storing to its end; what is asked of Slack and of the model has its own in
//! `slack` and `llm`. Ids, names and numbers are in them, and never what somebody wrote.

use db::threads::Job;
use models::{EventPayload, InboundEvent};
use service::OTEL_TARGET;
use tracing::Span;
use tracing::field::Empty;

/// An event is being stored.
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

/// A try of an event, whose body may not open.
pub(crate) fn job(job: &Job, body: Option<&EventPayload>) -> Span {
    tracing::info_span!(
        target: OTEL_TARGET,
        "work",
        otel.kind = "consumer",
        otel.status_code = Empty,
        tenant_id = %job.tenant_id,
        event_id = %job.event_id,
        event_kind = body.map(EventPayload::kind),
        channel_type = channel_type(job),
        attempt = job.attempt,
        outcome = Empty,
    )
}

/// A span comes out when it ends, and a try may be killed before: so that it began stands by itself.
pub(crate) fn emit_claim(job: &Job) {
    let claim =
        tracing::info_span!(target: OTEL_TARGET, "claim", event_id = %job.event_id, attempt = job.attempt);
    claim.in_scope(|| ());
}

/// What is read from or written to Postgres as one.
pub(crate) fn database(name: &'static str) -> Span {
    tracing::info_span!(
        target: OTEL_TARGET,
        "database",
        otel.name = name,
        otel.kind = "client",
        db.system.name = "postgresql",
    )
}

/// What goes on in a task of its own, maybe when its request or event has ended.
pub(crate) fn task(name: &'static str) -> Span {
    tracing::info_span!(target: OTEL_TARGET, "task", otel.name = name)
}

pub(crate) fn set_error(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// Slack's own words, by the first letter of its ids.
fn channel_type(job: &Job) -> Option<&'static str> {
    match job.thread.channel_id.as_str().as_bytes().first()? {
        b'D' => Some("im"),
        b'C' => Some("channel"),
        b'G' => Some("group"),
        _ => None,
    }
}
