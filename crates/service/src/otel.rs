//! Exports spans to an OpenTelemetry collector, by OTLP over HTTP. A separate thread sends them in batches,
//! so a slow or unavailable collector delays no request. Spans that do not fit its queue are dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::otel_settings::TraceSettings;

/// The time that a stopping process waits for its last spans to be exported.
const SPAN_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest time between two warnings about failed exports.
const EXPORT_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Builds the tracer provider. Its exporter runs on `runtime`.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn build_provider(
    service: &'static str,
    settings: &TraceSettings,
    runtime: Handle,
) -> anyhow::Result<SdkTracerProvider> {
    let headers = settings.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().into()));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&settings.endpoint)
        .with_headers(headers.collect())
        .build()
        .context("creating the trace exporter failed (OTEL_EXPORTER_OTLP_ENDPOINT)")?;
    let exporter = RuntimeSpanExporter { exporter: Arc::new(exporter), runtime, warned_at: Mutex::new(None) };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(settings.sampler.clone())
        .with_resource(resource(service, settings))
        .build())
}

/// Exports the remaining spans, for at most two seconds.
pub(crate) fn shutdown_provider(provider: &SdkTracerProvider) {
    if provider.shutdown_with_timeout(SPAN_FLUSH_TIMEOUT).is_err() {
        tracing::info!("exporting the last spans failed");
    }
}

/// Returns the attributes of this process. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` override the
/// defaults.
fn resource(service: &'static str, settings: &TraceSettings) -> Resource {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let defaults = [
        KeyValue::new("service.name", format!("enablebot-{service}")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        KeyValue::new("host.name", host),
    ];
    let overrides = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let name = settings.service_name.iter().map(|name| KeyValue::new("service.name", name.clone()));
    Resource::builder_empty().with_attributes(defaults.into_iter().chain(overrides).chain(name)).build()
}

/// An exporter that runs on the tokio runtime, which its HTTP client needs and the batch thread does not
/// have.
#[derive(Debug)]
struct RuntimeSpanExporter {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
    /// The time of the last warning.
    warned_at: Mutex<Option<Instant>>,
}

impl opentelemetry_sdk::trace::SpanExporter for RuntimeSpanExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let sent = self.runtime.spawn(async move { exporter.export(batch).await });
        let sent = sent.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        sent.inspect_err(|error| self.warn_export_failure(error))
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

impl RuntimeSpanExporter {
    /// Logs a failed export, at most once per [`EXPORT_WARNING_INTERVAL`].
    fn warn_export_failure(&self, error: &OTelSdkError) {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|at| at.elapsed() >= EXPORT_WARNING_INTERVAL) {
            *warned_at = Some(Instant::now());
            tracing::warn!(error = %error, "trace export failed, spans are being lost");
        }
    }
}
