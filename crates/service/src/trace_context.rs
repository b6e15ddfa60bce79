//! A trace's way from one span to the next: within a process by itself, between processes as W3C's `traceparent`
//! (<https://www.w3.org/TR/trace-context/>).
//!
//! Spans that are exported have the target `otel`, which no log follows. Where no collector is named their call sites are
//! switched off once and for all, and cost a comparison.

use std::collections::HashMap;

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of spans that are exported.
pub const OTEL_TARGET: &str = "otel";

const TRACEPARENT_HEADER: &str = "traceparent";

/// Where what is being done stands in its trace, for whoever goes on with it later and elsewhere; `None` where there is none.
pub fn current_traceparent() -> Option<String> {
    current_trace_id()?;
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Context::current(), &mut carrier);
    carrier.remove(TRACEPARENT_HEADER)
}

/// Goes on with the trace in which the sender stands. Of what is no `traceparent` nothing is believed: then a trace begins.
/// To be called before the span is entered.
pub fn set_remote_parent(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent.filter(|_| !span.is_disabled()) else { return };
    let carrier = HashMap::from([(TRACEPARENT_HEADER.to_owned(), traceparent.to_owned())]);
    // Only what was entered before cannot have another parent.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// A request, in the trace that a proxy may have begun.
pub(crate) fn request_span(method: &'static str, route: &'static str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: OTEL_TARGET,
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        set_remote_parent(
            &span,
            headers.get(TRACEPARENT_HEADER).and_then(|traceparent| traceparent.to_str().ok()),
        );
    }
    span
}

/// The trace that is being worked on.
pub(crate) fn current_trace_id() -> Option<TraceId> {
    let id = Context::map_current(|context| context.span().span_context().trace_id());
    (id != TraceId::INVALID).then_some(id)
}
