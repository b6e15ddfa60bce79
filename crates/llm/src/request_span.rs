//! The trace span of a request to the model.

use tracing::Span;
use tracing::field::Empty;

/// Creates the trace span of a request, from its start to the last chunk. It contains neither prompt nor
/// completion.
/// Source: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
pub(crate) fn request_span(model: &str) -> Span {
    tracing::info_span!(
        target: "otel",
        "chat",
        otel.name = %format_args!("chat {model}"),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = model,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
    )
}

/// Marks a request's span as failed.
pub(crate) fn record_span_error(span: &Span) {
    span.record("otel.status_code", "ERROR");
}
