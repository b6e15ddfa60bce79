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

use crate::app::App;
use crate::page::{Problem, page};

/// Far more than the longest form that a page here sends.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How long a form may take to come in.
const BODY: Duration = Duration::from_secs(20);

/// Reads what is sent as a whole, within its bounds, and makes the page within its time. A page that goes on, such as one that
/// is live, is made when it begins.
pub(crate) async fn bound(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return too_large(),
        Err(_) => return too_slow(),
    };
    let request = Request::from_parts(parts, Body::from(body));
    timeout(app.page_deadline, next.run(request)).await.unwrap_or_else(|_| took_too_long())
}

/// Holds back an address that begins, or ends, more sign-ins and installs than people do.
pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let address = app.trusted_proxies.client(request.extensions(), request.headers());
    match app.knocks.count(address).await {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let mut response = too_often();
            let seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            response
        }
    }
}

fn too_often() -> Response {
    tracing::warn!("an address comes too often to the sign-in or the install");
    let problem = Problem {
        title: "Too many tries from your network",
        what: "More sign-ins and installs than usual came from where you are. Nothing was done.",
        next: "Wait a minute, then load this page again. If it goes on, tell whoever runs this server.",
        action: None,
    };
    page(StatusCode::TOO_MANY_REQUESTS, &problem)
}

fn too_large() -> Response {
    let problem = Problem {
        title: "That is too much to take",
        what: "What was sent has more than 256 KiB, or broke off. Nothing was changed.",
        next: "Go back, shorten it, and send it once more.",
        action: None,
    };
    page(StatusCode::PAYLOAD_TOO_LARGE, &problem)
}

fn too_slow() -> Response {
    let problem = Problem {
        title: "That took too long to arrive",
        what: "What was sent did not come in within 20 seconds. Nothing was changed.",
        next: "Go back, and send it once more.",
        action: None,
    };
    page(StatusCode::REQUEST_TIMEOUT, &problem)
}

fn took_too_long() -> Response {
    tracing::error!("a page took too long");
    let problem = Problem {
        title: "This takes too long",
        what: "The page could not be made in time.",
        next: "Wait a minute, then load it again. If it goes on, tell whoever runs this server.",
        action: None,
    };
    page(StatusCode::GATEWAY_TIMEOUT, &problem)
}
