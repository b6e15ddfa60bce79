//! Limits on requests: size, upload time, response time, and sign-ins per address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::timeout;

use crate::page::{ErrorPage, render_page};
use crate::state::WebState;

/// Far more than the longest form needs.
const MAX_FORM_BYTES: usize = 256 * 1024;

/// Time limit for the upload of a form.
const FORM_READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Limits the size and the upload time of the request, and the time until the response begins.
///
/// A streaming response, such as the live overview, may last longer.
pub(crate) async fn limit_request(
    State(app): State<Arc<WebState>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match timeout(FORM_READ_TIMEOUT, to_bytes(body, MAX_FORM_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return form_too_large(),
        Err(_) => return form_read_timed_out(),
    };
    let request = Request::from_parts(parts, Body::from(body));
    timeout(app.page_timeout, next.run(request)).await.unwrap_or_else(|_| page_timed_out())
}

/// Limits the rate of sign-ins and installs per address.
pub(crate) async fn limit_ip(State(app): State<Arc<WebState>>, request: Request, next: Next) -> Response {
    let address = app.trusted_proxies.resolve_client_ip(request.extensions(), request.headers());
    match app.ip_rate_limiter.acquire(address).await {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let mut response = too_many_requests();
            let seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            response
        }
    }
}

fn too_many_requests() -> Response {
    tracing::warn!("sign-in or install rate limited");
    let problem = ErrorPage {
        title: "Too many attempts from your network",
        detail: "Your network sent too many sign-in or install requests. Nothing was changed.",
        next_step: "Wait a minute, then reload. If the problem persists, contact your operator.",
        action: None,
    };
    render_page(StatusCode::TOO_MANY_REQUESTS, &problem)
}

fn form_too_large() -> Response {
    let problem = ErrorPage {
        title: "Form too large",
        detail: "The form is larger than 256 KiB, or the upload was interrupted. Nothing was changed.",
        next_step: "Go back, shorten your input and submit it again.",
        action: None,
    };
    render_page(StatusCode::PAYLOAD_TOO_LARGE, &problem)
}

fn form_read_timed_out() -> Response {
    let problem = ErrorPage {
        title: "Upload too slow",
        detail: "The form did not arrive within 20 seconds. Nothing was changed.",
        next_step: "Go back and submit it again.",
        action: None,
    };
    render_page(StatusCode::REQUEST_TIMEOUT, &problem)
}

fn page_timed_out() -> Response {
    tracing::error!("page timed out");
    let problem = ErrorPage {
        title: "The page took too long to load",
        detail: "The server stopped loading it after its time limit.",
        next_step: "Wait a minute, then reload. If the problem persists, contact your operator.",
        action: None,
    };
    render_page(StatusCode::GATEWAY_TIMEOUT, &problem)
}
