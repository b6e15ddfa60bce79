//! What happens around every request. One tower service around the whole router and no stack of layers: on the way of an
//! acknowledgement a box more or a label made anew is a measurable part of the whole (`cargo xtask bench ack`).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use metrics::{Counter, Histogram};
use pin_project_lite::pin_project;
use tower::Service;
use tracing::Span;
use tracing::instrument::{Instrument, Instrumented};
use uuid::Uuid;

use crate::trace_context::request_span;

/// Routes of both services that are asked all the time; they are logged at DEBUG.
const BASE_ROUTES: [(&str, &str); 3] = [("/health", "GET"), ("/health/ready", "GET"), ("/metrics", "GET")];

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A route by its pattern, and what is counted of it.
struct RouteMetrics {
    pattern: &'static str,
    is_base: bool,
    duration: Histogram,
    /// By method and status; so few that looking through them is quickest.
    requests: RwLock<Vec<(&'static str, StatusCode, Counter)>>,
}

impl RouteMetrics {
    fn new(pattern: &'static str) -> Self {
        let duration = metrics::histogram!("enablebot_http_request_duration_seconds", "route" => pattern);
        let is_base = BASE_ROUTES.iter().any(|(base, _)| *base == pattern);
        Self { pattern, is_base, duration, requests: RwLock::default() }
    }

    fn count_request(&self, method: &'static str, status: StatusCode, by: u64) {
        let known = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&(&str, StatusCode, Counter)| known.0 == method && known.1 == status;
        if let Some((_, _, requests)) = known.iter().find(same) {
            return requests.increment(by);
        }
        drop(known);
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

/// The routes of a service. What is none of them is counted as one, whatever its path.
struct RouteTable {
    /// Their places in `all`.
    by_path: matchit::Router<usize>,
    all: Vec<RouteMetrics>,
}

/// Counted from zero for each route: an error that is the first of its kind is seen as an increase.
const PREREGISTERED_STATUSES: [StatusCode; 3] =
    [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];

/// The place of what is no route.
const UNMATCHED_ROUTE: usize = 0;

impl RouteTable {
    /// From patterns and methods, all of them counted from zero.
    fn new(routes: &[(&'static str, &'static str)]) -> Self {
        let mut new = Self { by_path: matchit::Router::new(), all: vec![RouteMetrics::new("none")] };
        for (pattern, method) in BASE_ROUTES.iter().chain(routes) {
            // One with several methods is known from the first.
            if new.by_path.insert(*pattern, new.all.len()).is_ok() {
                new.all.push(RouteMetrics::new(pattern));
            }
            for status in PREREGISTERED_STATUSES {
                new.all[new.route_index(pattern)].count_request(method, status, 0);
            }
        }
        new
    }

    fn route_index(&self, path: &str) -> usize {
        self.by_path.at(path).map_or(UNMATCHED_ROUTE, |found| *found.value)
    }
}

/// Anybody can send a method of their own; a label must not take it up.
fn method_label(method: &Method) -> &'static str {
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

/// Gives a request an id, counts and times it by its route's pattern, logs it, answers where a handler panics, and gives every
/// answer its headers.
#[derive(Clone)]
pub(crate) struct RequestMetrics<S> {
    inner: S,
    state: Arc<MiddlewareState>,
}

/// What all requests share.
struct MiddlewareState {
    routes: RouteTable,
    /// Of every answer that does not have its own.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl<S> RequestMetrics<S> {
    /// Around `inner`, which has these routes, given as pattern and method.
    pub(crate) fn new(
        inner: S,
        routes: &[(&'static str, &'static str)],
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        Self { inner, state: Arc::new(MiddlewareState { routes: RouteTable::new(routes), headers }) }
    }
}

impl<S> Service<Request> for RequestMetrics<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = InstrumentedRequest<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let meta = RequestMeta {
            started_at: Instant::now(),
            route: self.state.routes.route_index(request.uri().path()),
            method: method_label(request.method()),
            request_id: request.headers().get(&REQUEST_ID_HEADER).cloned().or_else(new_request_id),
        };
        let span = tracing::info_span!(
            "request",
            request_id = meta.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default(),
            tenant_id = tracing::field::Empty,
            user_id = tracing::field::Empty,
            event_id = tracing::field::Empty
        );
        let route = &self.state.routes.all[meta.route];
        // Who only looks whether the service lives is in no trace.
        let exported = match route.is_base {
            true => Span::none(),
            false => request_span(meta.method, route.pattern, request.headers()),
        };
        let inner =
            AssertUnwindSafe(self.inner.call(request)).catch_unwind().instrument(span).instrument(exported);
        InstrumentedRequest { inner, state: Arc::clone(&self.state), meta }
    }
}

/// A proxy in front may have given one; else it is made here.
fn new_request_id() -> Option<HeaderValue> {
    HeaderValue::from_str(Uuid::new_v4().as_hyphenated().encode_lower(&mut Uuid::encode_buffer())).ok()
}

/// What is known of a request before it is worked on.
struct RequestMeta {
    started_at: Instant,
    /// Its place among the routes.
    route: usize,
    method: &'static str,
    request_id: Option<HeaderValue>,
}

pin_project! {
    /// A request in work.
    pub(crate) struct InstrumentedRequest<F> {
        #[pin]
        inner: Instrumented<Instrumented<CatchUnwind<AssertUnwindSafe<F>>>>,
        state: Arc<MiddlewareState>,
        meta: RequestMeta,
    }
}

impl<F, E> Future for InstrumentedRequest<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let end = ready!(this.inner.as_mut().poll(context));
        let exported = this.inner.span();
        let _entered = (exported.enter(), this.inner.inner().span().enter());
        let mut response = end.unwrap_or_else(|_| Ok(panic_response()))?;
        let (status, elapsed) = (response.status(), this.meta.started_at.elapsed());
        let route = &this.state.routes.all[this.meta.route];
        exported.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            exported.record("otel.status_code", "ERROR");
        }
        route.log(this.meta.method, status, elapsed);
        route.count_request(this.meta.method, status, 1);
        route.duration.record(elapsed.as_secs_f64());
        if let Some(request_id) = this.meta.request_id.take() {
            response.headers_mut().insert(REQUEST_ID_HEADER, request_id);
        }
        for (name, value) in &this.state.headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        Poll::Ready(Ok(response))
    }
}

fn panic_response() -> Response {
    tracing::error!("a handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here. Please try again.").into_response()
}
