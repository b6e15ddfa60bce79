//! The middleware around every request, as one tower service around the whole router.
//!
//! A stack of layers would box futures and bodies and clone labels, which is a measurable part of an
//! acknowledgement (`cargo xtask bench ack`).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use pin_project_lite::pin_project;
use tower::Service;
use tracing::Span;
use tracing::instrument::{Instrument, Instrumented};
use uuid::Uuid;

use crate::route_metrics::{RouteTable, method_label};
use crate::trace_context::request_span;

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of a request id from outside.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// Gives each request an id, records metrics, a log line and a trace span by its route, catches panics, and
/// adds default headers to the response.
#[derive(Clone)]
pub(crate) struct RequestMetrics<S> {
    inner: S,
    state: Arc<MiddlewareState>,
}

/// The state that all requests share.
struct MiddlewareState {
    routes: RouteTable,
    /// Headers that are added to each response that lacks them.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl<S> RequestMetrics<S> {
    /// Wraps `inner`, whose routes are given as pattern and method.
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
            route: self.state.routes.index_of(request.uri().path()),
            method: method_label(request.method()),
            request_id: given_request_id(&request).or_else(new_request_id),
        };
        let span = tracing::info_span!(
            "request",
            request_id = meta.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default(),
            tenant_id = tracing::field::Empty,
            user_id = tracing::field::Empty,
            event_id = tracing::field::Empty
        );
        let route = self.state.routes.get(meta.route);
        // Health checks and scrapes are not traced.
        let exported = match route.is_base {
            true => Span::none(),
            false => request_span(meta.method, route.pattern, request.headers()),
        };
        let inner =
            AssertUnwindSafe(self.inner.call(request)).catch_unwind().instrument(span).instrument(exported);
        InstrumentedRequest { inner, state: Arc::clone(&self.state), meta }
    }
}

/// Returns the id that a proxy gave the request. Another value is ignored, since the id is logged and sent back.
fn given_request_id(request: &Request) -> Option<HeaderValue> {
    let id = request.headers().get(&REQUEST_ID_HEADER)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let is_valid = (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain);
    is_valid.then(|| id.clone())
}

/// Generates a request id, for requests that no proxy gave a valid one.
fn new_request_id() -> Option<HeaderValue> {
    HeaderValue::from_str(Uuid::new_v4().as_hyphenated().encode_lower(&mut Uuid::encode_buffer())).ok()
}

/// Facts about a request, taken before it is handled.
struct RequestMeta {
    started_at: Instant,
    /// The route's index in the table.
    route: usize,
    method: &'static str,
    request_id: Option<HeaderValue>,
}

pin_project! {
    /// A request in progress.
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
        let result = ready!(this.inner.as_mut().poll(context));
        let exported = this.inner.span();
        let _entered = (exported.enter(), this.inner.inner().span().enter());
        let mut response = result.unwrap_or_else(|_| Ok(panic_response()))?;
        let status = response.status();
        exported.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            exported.record("otel.status_code", "ERROR");
        }
        let route = this.state.routes.get(this.meta.route);
        route.record(this.meta.method, status, this.meta.started_at.elapsed());
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
    tracing::error!("handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong. Please try again.").into_response()
}
