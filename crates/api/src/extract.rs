//! Trust starts here: a handler only ever sees bytes that Slack signed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};
use tokio::time::timeout;

use crate::routes::SlackState;

/// Slack's own payloads are far smaller.
const MAX_SLACK_BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take to come in. Slack itself waits for three seconds.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A request's raw body, its signature verified.
pub(crate) struct SignedBody(pub(crate) Bytes);

/// A form that Slack signed, or its unsigned check of the certificate, of which nothing is read.
pub(crate) enum SignedForm {
    Signed(Bytes),
    SslCheck,
}

impl FromRequest<Arc<SlackState>> for SignedForm {
    type Rejection = Response;

    async fn from_request(request: Request, door: &Arc<SlackState>) -> Result<Self, Response> {
        let claim = SignatureHeaders::from_headers(request.headers());
        let body = read_slack_body(request).await?;
        let is_check = body.as_ref() == b"ssl_check=1" || body.starts_with(b"ssl_check=1&");
        if is_check && claim.signature.is_none() {
            return Ok(Self::SslCheck);
        }
        claim.verify(&door.signing_secret, &body)?;
        Ok(Self::Signed(body))
    }
}

impl FromRequest<Arc<SlackState>> for SignedBody {
    type Rejection = Response;

    async fn from_request(request: Request, door: &Arc<SlackState>) -> Result<Self, Response> {
        let claim = SignatureHeaders::from_headers(request.headers());
        let body = read_slack_body(request).await?;
        claim.verify(&door.signing_secret, &body)?;
        Ok(Self(body))
    }
}

async fn read_slack_body(request: Request) -> Result<Bytes, Response> {
    let read = read_body(request, MAX_SLACK_BODY_BYTES).await;
    read.map_err(|status| (status, "the body is too long or too slow, or broke off").into_response())
}

/// The whole body, as long as it is none that nobody has reason to send.
pub(crate) async fn read_body(request: Request, max_bytes: usize) -> Result<Bytes, StatusCode> {
    let read = timeout(BODY_READ_TIMEOUT, to_bytes(request.into_body(), max_bytes)).await;
    read.map_err(|_| StatusCode::REQUEST_TIMEOUT)?.map_err(|error| {
        let is_too_long = error.into_inner().is::<LengthLimitError>();
        if is_too_long { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
    })
}

/// Who a request says that it is from, before its body is read.
struct SignatureHeaders {
    timestamp: Option<HeaderValue>,
    signature: Option<HeaderValue>,
}

impl SignatureHeaders {
    fn from_headers(headers: &HeaderMap) -> Self {
        let header = |name| headers.get(name).cloned();
        Self { timestamp: header(TIMESTAMP_HEADER), signature: header(SIGNATURE_HEADER) }
    }

    #[expect(clippy::result_large_err, reason = "a response is what an extractor refuses with")]
    fn verify(&self, secret: &SigningSecret, body: &[u8]) -> Result<(), Response> {
        let (timestamp, signature) = (header_text(&self.timestamp), header_text(&self.signature));
        let now = chrono::Utc::now().timestamp();
        secret.verify(timestamp, signature, body, now).map_err(|error| {
            tracing::warn!(error = %error, "a request was refused");
            (StatusCode::UNAUTHORIZED, error.to_string()).into_response()
        })
    }
}

fn header_text(header: &Option<HeaderValue>) -> Option<&str> {
    header.as_ref()?.to_str().ok()
}
