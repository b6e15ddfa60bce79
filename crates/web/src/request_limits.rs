//! What may come in before a page is made: how large, how slowly, and how often from one address.

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

/// Far more than the longest form that a page here sends.
const MAX_FORM_BYTES: usize = 256 * 1024;

/// How long a form may take to come in.
const FORM_READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads what is sent as a whole, within its bounds, and makes the page within its time. A page that goes on, such as one that
/// is live, is made when it begins.
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

/// Holds back an address that begins, or ends, more sign-ins and installs than people do.
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
    tracing::warn!("an address comes too often to the sign-in or the install");
    let problem = ErrorPage {
        title: "Too many tries from your network",
        detail: "More sign-ins and installs than usual came from where you are. Nothing was done.",
        next_step: "Wait a minute, then load this page again. If it goes on, tell whoever runs this server.",
        action: None,
    };
    render_page(StatusCode::TOO_MANY_REQUESTS, &problem)
}

fn form_too_large() -> Response {
    let problem = ErrorPage {
        title: "That is too much to take",
        detail: "What was sent has more than 256 KiB, or broke off. Nothing was changed.",
        next_step: "Go back, shorten it, and send it once more.",
        action: None,
    };
    render_page(StatusCode::PAYLOAD_TOO_LARGE, &problem)
}

fn form_read_timed_out() -> Response {
    let problem = ErrorPage {
        title: "That took too long to arrive",
        detail: "What was sent did not come in within 20 seconds. Nothing was changed.",
        next_step: "Go back, and send it once more.",
        action: None,
    };
    render_page(StatusCode::REQUEST_TIMEOUT, &problem)
}

fn page_timed_out() -> Response {
    tracing::error!("a page took too long");
    let problem = ErrorPage {
        title: "This takes too long",
        detail: "The page could not be made in time.",
        next_step: "Wait a minute, then load it again. If it goes on, tell whoever runs this server.",
        action: None,
    };
    render_page(StatusCode::GATEWAY_TIMEOUT, &problem)
}
