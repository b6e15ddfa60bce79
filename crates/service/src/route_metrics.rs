//! The counters, histograms and log lines of each route.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

/// The routes that both services have. They are requested all the time, so they are logged at DEBUG.
const BASE_ROUTES: [(&str, &str); 3] = [("/health", "GET"), ("/health/ready", "GET"), ("/metrics", "GET")];

/// The statuses whose counters start at zero on each route, so that the first error is an increase.
const PREREGISTERED_STATUSES: [StatusCode; 3] =
    [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];

/// The index of the metrics for paths that match no route.
const UNMATCHED_ROUTE: usize = 0;

/// The metrics of one route.
pub(crate) struct RouteMetrics {
    pub(crate) pattern: &'static str,
    pub(crate) is_base: bool,
    duration: Histogram,
    /// Counters by method and status. They are few, so a linear search is fastest.
    requests: RwLock<Vec<(&'static str, StatusCode, Counter)>>,
}

impl RouteMetrics {
    fn new(pattern: &'static str) -> Self {
        let duration = metrics::histogram!("enablebot_http_request_duration_seconds", "route" => pattern);
        let is_base = BASE_ROUTES.iter().any(|(base, _)| *base == pattern);
        Self { pattern, is_base, duration, requests: RwLock::default() }
    }

    /// Counts, times and logs one request.
    pub(crate) fn record(&self, method: &'static str, status: StatusCode, elapsed: Duration) {
        self.log(method, status, elapsed);
        self.count(method, status, 1);
        self.duration.record(elapsed.as_secs_f64());
    }

    fn count(&self, method: &'static str, status: StatusCode, by: u64) {
        let counters = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., counter)) = counters.iter().find(|entry| (entry.0, entry.1) == (method, status)) {
            return counter.increment(by);
        }
        drop(counters);
        let labels = [
            ("route", self.pattern.to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_u16().to_string()),
        ];
        let counter = metrics::counter!("enablebot_http_requests_total", &labels);
        counter.increment(by);
        self.requests.write().unwrap_or_else(PoisonError::into_inner).push((method, status, counter));
    }

    fn log(&self, method: &str, status: StatusCode, elapsed: Duration) {
        let (route, duration_ms) = (self.pattern, elapsed.as_micros() as f64 / 1000.0);
        let result = if status.is_client_error() || status.is_server_error() { "error" } else { "success" };
        if self.is_base {
            tracing::debug!(duration_ms, status = result, "{method} {route} {}", status.as_u16());
        } else {
            tracing::info!(duration_ms, status = result, "{method} {route} {}", status.as_u16());
        }
    }
}

/// The routes of a service. All paths that match none share one entry.
pub(crate) struct RouteTable {
    /// Indexes into `all`.
    by_path: matchit::Router<usize>,
    all: Vec<RouteMetrics>,
}

impl RouteTable {
    /// Builds the table from patterns and methods. Their counters start at zero.
    pub(crate) fn new(routes: &[(&'static str, &'static str)]) -> Self {
        let mut table = Self { by_path: matchit::Router::new(), all: vec![RouteMetrics::new("none")] };
        for (pattern, method) in BASE_ROUTES.iter().chain(routes) {
            // A pattern with several methods is inserted once.
            if table.by_path.insert(*pattern, table.all.len()).is_ok() {
                table.all.push(RouteMetrics::new(pattern));
            }
            for status in PREREGISTERED_STATUSES {
                table.get(table.index_of(pattern)).count(method, status, 0);
            }
        }
        table
    }

    pub(crate) fn index_of(&self, path: &str) -> usize {
        self.by_path.at(path).map_or(UNMATCHED_ROUTE, |found| *found.value)
    }

    pub(crate) fn get(&self, index: usize) -> &RouteMetrics {
        &self.all[index]
    }
}

/// Returns the label of a method. Clients can send any method, so unknown ones share a label.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
