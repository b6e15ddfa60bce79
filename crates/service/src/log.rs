//! The log: one JSON object per line on stdout. Eight keys are on every line.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use chrono::{SecondsFormat, Utc};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::trace_context::{OTEL_TARGET, current_trace_id};

/// The fields that are logged beside the message. All others are dropped, so that no body, header or token in
/// a library's debug line is ever logged.
const LOGGED_FIELDS: [&str; 7] =
    ["tenant_id", "user_id", "duration_ms", "status", "request_id", "event_id", "error"];

/// The crates whose log lines follow `LOG_LEVEL`.
const OWN_CRATES: [&str; 9] =
    ["api", "web", "assistant", "cache", "db", "llm", "slack", "storage", "service"];

/// Sends log lines to stdout and, with a tracer, spans with the target `otel` to it.
pub(crate) fn init(service: &'static str, level: Level, tracer: Option<&SdkTracerProvider>) {
    let log = json_layer(service, level, tracer.is_some());
    let subscriber = tracing_subscriber::registry().with(log);
    // A second start in one process, as in tests, keeps the first subscriber.
    let _ = match tracer {
        Some(tracer) => {
            let spans = tracing_opentelemetry::layer()
                .with_location(false)
                .with_target(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_tracer(tracer.tracer("enablebot"))
                .with_filter(Targets::new().with_target(OTEL_TARGET, LevelFilter::INFO));
            subscriber.with(spans).try_init()
        }
        None => subscriber.try_init(),
    };
}

/// Returns the layer that writes the log.
fn json_layer<S>(service: &'static str, level: Level, is_traced: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Libraries log connections and frames below WARN, so only the project's own crates follow LOG_LEVEL.
    let own = OWN_CRATES.map(|target| (target, level));
    let filter = Targets::new()
        .with_default(level.min(Level::WARN))
        // It logs responses of the model, which may contain people's messages.
        .with_target("async_openai", LevelFilter::OFF)
        .with_targets(own);
    JsonLogLayer { service, is_traced }.with_filter(filter)
}

struct JsonLogLayer {
    service: &'static str,
    /// True if traces are exported; lines then carry a `trace_id`.
    is_traced: bool,
}

/// The logged fields of a span and of its parents.
#[derive(Clone, Default)]
struct SpanFields(BTreeMap<&'static str, Value>);

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }
}

impl SpanFields {
    fn insert(&mut self, field: &Field, value: Value) {
        if let Some(key) = LOGGED_FIELDS.iter().chain(&["message"]).find(|key| **key == field.name()) {
            self.0.insert(key, value);
        }
    }
}

impl<S> Layer<S> for JsonLogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let inherited = span.parent().and_then(|parent| parent.extensions().get::<SpanFields>().cloned());
        let mut fields = inherited.unwrap_or_default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let inherited =
            context.event_span(event).and_then(|span| span.extensions().get::<SpanFields>().cloned());
        let mut fields = inherited.unwrap_or_default();
        event.record(&mut fields);
        let mut line = self.line(event.metadata(), fields).to_string();
        line.push('\n');
        // If stdout is closed, there is nowhere to report it.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

impl JsonLogLayer {
    fn line(&self, metadata: &Metadata<'_>, SpanFields(mut fields): SpanFields) -> Value {
        let failed = *metadata.level() == Level::ERROR || fields.contains_key("error");
        let status = fields.remove("status").unwrap_or(json!(if failed { "error" } else { "success" }));
        let mut line = Map::new();
        line.insert("timestamp".into(), Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true).into());
        line.insert("service".into(), self.service.into());
        line.insert("level".into(), metadata.level().as_str().into());
        for key in ["tenant_id", "user_id", "message", "duration_ms"] {
            let fallback = if key == "message" { metadata.name().into() } else { Value::Null };
            line.insert(key.into(), fields.remove(key).unwrap_or(fallback));
        }
        line.insert("status".into(), status);
        if let Some(trace_id) = self.is_traced.then(current_trace_id).flatten() {
            line.insert("trace_id".into(), trace_id.to_string().into());
        }
        line.extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otel_spans_are_off_without_tracer() {
        let untraced = tracing_subscriber::registry().with(json_layer("api", Level::TRACE, false));
        tracing::subscriber::with_default(untraced, || {
            assert!(tracing::info_span!(target: OTEL_TARGET, "store").is_disabled());
            assert!(!tracing::info_span!("request").is_disabled());
        });
    }
}
