//! What happens around every request. One tower service of its own and no stack of layers: on the way of an
//! acknowledgement a box more or a label made anew is a measurable part of the whole (`cargo xtask bench ack`).

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use metrics::{Counter, Histogram};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::instrument::{Instrument, Instrumented};
use uuid::Uuid;

/// Routes of both services that are asked all the time; they are logged at DEBUG.
pub(crate) const BASE_ROUTES: [(&str, &str); 3] =
    [("/health", "GET"), ("/health/ready", "GET"), ("/metrics", "GET")];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the request counters of a service's routes, given as pattern and method, at zero.
pub fn count_requests_from_zero(routes: &[(&'static str, &'static str)]) {
    for (route, method) in BASE_ROUTES.iter().chain(routes) {
        requests(route, method, StatusCode::OK).absolute(0);
    }
}

fn requests(route: &str, method: &str, status: StatusCode) -> Counter {
    let labels =
        [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!("enablebot_http_requests_total", &labels)
}

/// A route's time, and its counters by method and status.
struct RouteMetrics {
    duration: Histogram,
    requests: HashMap<(&'static str, StatusCode), Counter>,
}

/// The metrics of the routes that were asked so far, by their pattern.
#[derive(Default)]
struct Routes(RwLock<HashMap<String, RouteMetrics>>);

impl Routes {
    fn note(&self, route: &str, method: &'static str, status: StatusCode, elapsed: Duration) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(route)
            && let Some(requests) = metrics.requests.get(&(method, status))
        {
            requests.increment(1);
            return metrics.duration.record(elapsed.as_secs_f64());
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let metrics = known.entry(route.to_owned()).or_insert_with(|| RouteMetrics {
            duration: metrics::histogram!("enablebot_http_request_duration_seconds", "route" => route.to_owned()),
            requests: HashMap::new(),
        });
        let counter = metrics.requests.entry((method, status));
        counter.or_insert_with(|| requests(route, method, status)).increment(1);
        metrics.duration.record(elapsed.as_secs_f64());
    }
}

/// Anybody can send a method of their own; a label must not take it up.
fn label(method: &Method) -> &'static str {
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

/// Wraps a service in [`Observe`].
#[derive(Clone, Default)]
pub(crate) struct ObserveLayer(Arc<Routes>);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, routes: Arc::clone(&self.0) }
    }
}

/// Gives a request an id, counts and times it by its route's pattern, logs it, and answers where a handler panics.
#[derive(Clone)]
pub(crate) struct Observe<S> {
    inner: S,
    routes: Arc<Routes>,
}

impl<S> Service<Request> for Observe<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let seen = Seen {
            begun: Instant::now(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            method: label(request.method()),
            request_id: request.headers().get(&REQUEST_ID).cloned().or_else(new_request_id),
        };
        let span = tracing::info_span!(
            "request",
            request_id = seen.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default(),
            tenant_id = tracing::field::Empty,
            user_id = tracing::field::Empty,
            event_id = tracing::field::Empty
        );
        let inner = AssertUnwindSafe(self.inner.call(request)).catch_unwind().instrument(span);
        Observed { inner, routes: Arc::clone(&self.routes), seen }
    }
}

/// A proxy in front may have given one; else it is made here.
fn new_request_id() -> Option<HeaderValue> {
    HeaderValue::from_str(Uuid::new_v4().as_hyphenated().encode_lower(&mut Uuid::encode_buffer())).ok()
}

/// What is known of a request before it is worked on.
struct Seen {
    begun: Instant,
    route: Option<MatchedPath>,
    method: &'static str,
    request_id: Option<HeaderValue>,
}

pin_project! {
    /// A request in work.
    pub(crate) struct Observed<F> {
        #[pin]
        inner: Instrumented<CatchUnwind<AssertUnwindSafe<F>>>,
        routes: Arc<Routes>,
        seen: Seen,
    }
}

impl<F, E> Future for Observed<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let end = ready!(this.inner.as_mut().poll(context));
        let _entered = this.inner.span().enter();
        let mut response = end.unwrap_or_else(|_| Ok(panicked()))?;
        let (status, elapsed) = (response.status(), this.seen.begun.elapsed());
        let route = this.seen.route.as_ref().map_or("none", MatchedPath::as_str);
        log(this.seen.method, route, status, elapsed);
        this.routes.note(route, this.seen.method, status, elapsed);
        if let Some(request_id) = this.seen.request_id.take() {
            response.headers_mut().insert(REQUEST_ID, request_id);
        }
        Poll::Ready(Ok(response))
    }
}

fn panicked() -> Response {
    tracing::error!("a handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here. Please try again.").into_response()
}

fn log(method: &str, route: &str, status: StatusCode, elapsed: Duration) {
    let duration_ms = elapsed.as_micros() as f64 / 1000.0;
    let result = if status.is_client_error() || status.is_server_error() { "error" } else { "success" };
    if BASE_ROUTES.iter().any(|(base, _)| *base == route) {
        tracing::debug!(duration_ms, status = result, "{method} {route} {}", status.as_u16());
    } else {
        tracing::info!(duration_ms, status = result, "{method} {route} {}", status.as_u16());
    }
}
