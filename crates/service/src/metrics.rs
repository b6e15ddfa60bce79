//! Prometheus metrics. Counters start at zero, so that `rate()` sees the first event.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::time::interval;

use crate::cgroup::ResourceLimits;

/// Histogram buckets in seconds, from one millisecond to two minutes. Acknowledgements are promised within
/// two seconds.
const DURATION_BUCKETS_SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    process: Arc<Collector>,
    resource_limits: ResourceLimits,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Installs the recorder. A second call in one process returns the first one.
    ///
    /// # Errors
    /// Another recorder is already installed.
    pub fn install(threads: u32) -> Result<Self, BuildError> {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        if let Some(metrics) = INSTALLED.get() {
            return Ok(metrics.clone());
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Prefix("enablebot_".into()), &DURATION_BUCKETS_SECONDS)?
            .install_recorder()?;
        let process = Arc::new(Collector::default());
        process.describe();
        let resource_limits = ResourceLimits::new(threads);
        Ok(INSTALLED.get_or_init(|| Self { handle, process, resource_limits }).clone())
    }

    /// Moves recorded durations into their buckets, so that memory does not grow without scrapes. Never
    /// returns.
    pub(crate) async fn run_upkeep_loop(self) {
        let mut ticks = interval(METRICS_UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }

    /// Returns the text of `/metrics`.
    pub(crate) fn render(&self) -> String {
        self.process.collect();
        metrics::gauge!("enablebot_memory_limit_bytes").set(self.resource_limits.memory_bytes());
        metrics::gauge!("enablebot_cpu_limit_cores").set(self.resource_limits.cpu_cores());
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// Sets a counter to zero for each value of its label.
pub fn init_counters(
    name: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = &'static str>,
) {
    for value in values {
        metrics::counter!(name, label => value).absolute(0);
    }
}
