//! Sends the spans of `trace_context` to a collector, by OTLP over HTTP. They go out in batches from a thread of their own:
//! what is slow or away there holds nobody up, and what does not fit its queue meanwhile is dropped.

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

/// How long the end of a process waits for its last spans to be taken.
const SPAN_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is said that a collector takes nothing.
const EXPORT_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Starts what sends; the exporter works on `runtime`.
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
        .context("traces cannot be sent (OTEL_EXPORTER_OTLP_ENDPOINT)")?;
    let exporter = RuntimeSpanExporter { exporter: Arc::new(exporter), runtime, warned_at: Mutex::new(None) };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(settings.sampler.clone())
        .with_resource(resource(service, settings))
        .build())
}

/// Sends what is left, and waits no longer than two seconds for that.
pub(crate) fn shutdown_provider(provider: &SdkTracerProvider) {
    if provider.shutdown_with_timeout(SPAN_FLUSH_TIMEOUT).is_err() {
        tracing::info!("the last traces were not taken by the collector");
    }
}

/// Who sends. A replica has no name of its own, so each process makes one up, which `OTEL_RESOURCE_ATTRIBUTES` may
/// replace.
fn resource(service: &'static str, settings: &TraceSettings) -> Resource {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = [
        KeyValue::new("service.name", format!("enablebot-{service}")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        KeyValue::new("host.name", host),
    ];
    let set = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let name = settings.service_name.iter().map(|name| KeyValue::new("service.name", name.clone()));
    Resource::builder_empty().with_attributes(own.into_iter().chain(set).chain(name)).build()
}

/// The thread that makes up batches knows nothing of tokio, and the HTTP client nothing else.
#[derive(Debug)]
struct RuntimeSpanExporter {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
    /// When it was last said that nothing is taken.
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
    /// Once in a while, and not for each batch.
    fn warn_export_failure(&self, error: &OTelSdkError) {
        let mut told_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|at| at.elapsed() >= EXPORT_WARNING_INTERVAL) {
            *told_at = Some(Instant::now());
            tracing::warn!(error = %error, "traces are not taken by the collector, and lost meanwhile");
        }
    }
}
