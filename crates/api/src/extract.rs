//! Verifies Slack's signature. Handlers only see bytes that Slack signed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};
use tokio::time::timeout;

use crate::inbox::Inbox;

/// The largest body; Slack's payloads are far smaller.
const MAX_SLACK_BODY_BYTES: usize = 1024 * 1024;

/// The time in which a body must arrive. Slack itself waits for three seconds.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(20);

/// The state of Slack's routes. It is behind one `Arc` because it is cloned for each request.
pub(crate) struct SlackState {
    pub(crate) signing_secret: SigningSecret,
    pub(crate) inbox: Inbox,
}

/// A request's raw body with a valid signature.
pub(crate) struct SignedBody(pub(crate) Bytes);

/// A form with a valid signature, or Slack's unsigned check of the certificate, which has no content.
pub(crate) enum SignedForm {
    Signed(Bytes),
    SslCheck,
}

impl FromRequest<Arc<SlackState>> for SignedForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<SlackState>) -> Result<Self, Response> {
        let headers = SignatureHeaders::from_headers(request.headers());
        let body = read_slack_body(request).await?;
        let is_check = body.as_ref() == b"ssl_check=1" || body.starts_with(b"ssl_check=1&");
        if is_check && headers.signature.is_none() {
            return Ok(Self::SslCheck);
        }
        headers.verify(&state.signing_secret, &body)?;
        Ok(Self::Signed(body))
    }
}

impl FromRequest<Arc<SlackState>> for SignedBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<SlackState>) -> Result<Self, Response> {
        let headers = SignatureHeaders::from_headers(request.headers());
        let body = read_slack_body(request).await?;
        headers.verify(&state.signing_secret, &body)?;
        Ok(Self(body))
    }
}

async fn read_slack_body(request: Request) -> Result<Bytes, Response> {
    let read = read_body(request, MAX_SLACK_BODY_BYTES).await;
    read.map_err(|status| (status, "the body is too large, too slow or incomplete").into_response())
}

/// Reads the whole body.
///
/// # Errors
/// 408 if it is too slow, 413 if it is too large, 400 if it is incomplete.
pub(crate) async fn read_body(request: Request, max_bytes: usize) -> Result<Bytes, StatusCode> {
    let read = timeout(BODY_READ_TIMEOUT, to_bytes(request.into_body(), max_bytes)).await;
    read.map_err(|_| StatusCode::REQUEST_TIMEOUT)?.map_err(|error| {
        let is_too_large = error.into_inner().is::<LengthLimitError>();
        if is_too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
    })
}

/// The headers of the signature, taken before the body is read.
struct SignatureHeaders {
    timestamp: Option<HeaderValue>,
    signature: Option<HeaderValue>,
}

impl SignatureHeaders {
    fn from_headers(headers: &HeaderMap) -> Self {
        let header = |name| headers.get(name).cloned();
        Self { timestamp: header(TIMESTAMP_HEADER), signature: header(SIGNATURE_HEADER) }
    }

    #[expect(clippy::result_large_err, reason = "extractors reject with a response")]
    fn verify(&self, secret: &SigningSecret, body: &[u8]) -> Result<(), Response> {
        let (timestamp, signature) = (header_text(&self.timestamp), header_text(&self.signature));
        let now = chrono::Utc::now().timestamp();
        secret.verify(timestamp, signature, body, now).map_err(|error| {
            tracing::warn!(error = %error, "request refused");
            (StatusCode::UNAUTHORIZED, error.to_string()).into_response()
        })
    }
}

fn header_text(header: &Option<HeaderValue>) -> Option<&str> {
    header.as_ref()?.to_str().ok()
}
