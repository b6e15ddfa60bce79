//! Passes trace contexts between processes as a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>).
//!
//! Exported spans have the target `otel`, which the log ignores. Without a collector their call sites are
//! disabled permanently and cost one comparison.

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

/// Returns the current span's `traceparent`, with which another process can continue the trace. `None`
/// without a trace.
pub fn current_traceparent() -> Option<String> {
    current_trace_id()?;
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Context::current(), &mut carrier);
    carrier.remove(TRACEPARENT_HEADER)
}

/// Makes `span` continue the sender's trace. An invalid `traceparent` is ignored and the span starts a new
/// trace. Call this before the span is entered.
pub fn set_remote_parent(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent.filter(|_| !span.is_disabled()) else { return };
    let carrier = HashMap::from([(TRACEPARENT_HEADER.to_owned(), traceparent.to_owned())]);
    // Setting the parent fails only for a span that has already been entered.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// Creates the exported span of a request, which continues a proxy's trace if there is one.
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

/// Returns the current trace id.
pub(crate) fn current_trace_id() -> Option<TraceId> {
    let id = Context::map_current(|context| context.span().span_context().trace_id());
    (id != TraceId::INVALID).then_some(id)
}
