//! Trust starts here: a handler only ever sees bytes that Slack signed.

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use slack::{SIGNATURE_HEADER, SigningSecret, TIMESTAMP_HEADER};

/// A request's raw body, its signature verified. The router limits its size before.
pub(crate) struct Verified(pub(crate) Bytes);

/// A form that Slack signed, or its unsigned check of the certificate, of which nothing is read.
pub(crate) enum VerifiedForm {
    Signed(Bytes),
    SslCheck,
}

impl<S> FromRequest<S> for VerifiedForm
where
    S: Send + Sync,
    SigningSecret: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let is_signed = request.headers().contains_key(SIGNATURE_HEADER);
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(IntoResponse::into_response)?;
        if !is_signed && (bytes.as_ref() == b"ssl_check=1" || bytes.starts_with(b"ssl_check=1&")) {
            return Ok(Self::SslCheck);
        }
        let request = Request::from_parts(parts, bytes.into());
        Verified::from_request(request, state).await.map(|Verified(body)| Self::Signed(body))
    }
}

impl<S> FromRequest<S> for Verified
where
    S: Send + Sync,
    SigningSecret: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let now = chrono::Utc::now().timestamp();
        SigningSecret::from_ref(state)
            .verify(header(&headers, TIMESTAMP_HEADER), header(&headers, SIGNATURE_HEADER), &body, now)
            .map_err(|error| {
                tracing::warn!(error = %error, "a request was refused");
                (StatusCode::UNAUTHORIZED, error.to_string()).into_response()
            })?;
        Ok(Self(body))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
