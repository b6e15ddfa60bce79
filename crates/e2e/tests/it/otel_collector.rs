//! A trace collector in the test's process: OTLP over HTTP, like OpenTelemetry's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message;
use tokio::net::TcpListener;
use xtask::service::Variables;

use crate::test_app::TEST_TIMEOUT;

/// The credentials that the collector requires.
pub(crate) const COLLECTOR_AUTHORIZATION: &str = "Bearer collectors-own-key";

/// A received span.
#[derive(Clone, Debug)]
pub(crate) struct CollectedSpan {
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_id: String,
    pub(crate) kind: SpanKind,
    pub(crate) is_error: bool,
    pub(crate) nanos: u64,
    /// Attributes of the span and of its resource.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl CollectedSpan {
    /// Returns the value of an attribute, or an empty text.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct CollectedTraces {
    spans: Vec<CollectedSpan>,
    bytes: Vec<u8>,
}

/// The collector. It listens on loopback until the test ends.
pub(crate) struct OtelCollector {
    url: String,
    traces: Arc<Mutex<CollectedTraces>>,
}

impl OtelCollector {
    pub(crate) async fn start() -> Self {
        let taken = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new().route("/v1/traces", post(receive_traces)).with_state(Arc::clone(&taken));
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, traces: taken }
    }

    /// Returns the variables of a replica that sends its spans here under this name.
    pub(crate) fn variables(&self, instance: &str) -> Variables {
        otel_variables(&self.url, instance)
    }

    /// Returns all received bytes.
    pub(crate) fn raw_text(&self) -> String {
        String::from_utf8_lossy(&self.lock_traces().bytes).into_owned()
    }

    pub(crate) fn spans(&self) -> Vec<CollectedSpan> {
        self.lock_traces().spans.clone()
    }

    pub(crate) fn spans_of_trace(&self, trace_id: &str) -> Vec<CollectedSpan> {
        self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect()
    }

    /// Waits for a span that satisfies the predicate, and returns it.
    pub(crate) async fn wait_for_span(
        &self,
        what: &str,
        is_it: impl Fn(&CollectedSpan) -> bool,
    ) -> CollectedSpan {
        let begun = Instant::now();
        loop {
            if let Some(span) = self.spans().into_iter().find(&is_it) {
                return span;
            }
            assert!(begun.elapsed() < TEST_TIMEOUT, "no {what} among {:#?}", self.spans());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn lock_traces(&self) -> MutexGuard<'_, CollectedTraces> {
        self.traces.lock().expect("no panic")
    }
}

/// Returns the variables of a replica that sends its spans to this address.
pub(crate) fn otel_variables(url: &str, instance: &str) -> Variables {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.to_owned()),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("authorization={}", COLLECTOR_AUTHORIZATION.replace(' ', "%20")),
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", format!("service.instance.id={instance}")),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        // In milliseconds; only a missing collector lets it elapse.
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

async fn receive_traces(
    State(taken): State<Arc<Mutex<CollectedTraces>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if headers.get("authorization").is_none_or(|key| key != COLLECTOR_AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else { return StatusCode::BAD_REQUEST };
    let mut taken = taken.lock().expect("no panic");
    taken.bytes.extend_from_slice(&body);
    for of_resource in request.resource_spans {
        let resource =
            attributes(of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        taken.spans.extend(spans.map(|span| CollectedSpan {
            trace_id: hex::encode(&span.trace_id),
            span_id: hex::encode(&span.span_id),
            parent_id: hex::encode(&span.parent_span_id),
            kind: span.kind(),
            is_error: span.status.as_ref().is_some_and(|status| status.code() == SpanStatus::Error),
            nanos: span.end_time_unix_nano - span.start_time_unix_nano,
            attributes: resource.clone().into_iter().chain(attributes(span.attributes)).collect(),
            name: span.name,
        }));
    }
    StatusCode::OK
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|one| (one.key, text(one.value))).collect()
}
