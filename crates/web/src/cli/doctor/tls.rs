//! A request to a public address that records the state of its certificate.
//!
//! A bad certificate does not stop the request, so the checks also see the server behind it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::header::{HOST, STRICT_TRANSPORT_SECURITY, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::config::PROBE_TIMEOUT;

/// Longer than any certificate is valid.
const CENTURY: Duration = Duration::from_secs(100 * 365 * DAY_IN_SECONDS);
const DAY_IN_SECONDS: u64 = 24 * 60 * 60;

/// The response to a probe.
#[derive(Debug)]
pub(super) struct ProbeResponse {
    pub(super) status: StatusCode,
    /// The response has a `Strict-Transport-Security` header.
    pub(super) has_hsts: bool,
    /// The reason the certificate is not trusted, if it is not.
    pub(super) trust_error: Option<String>,
    /// Whole days until the certificate expires, negative once it has; `None` without a certificate, or if it
    /// is not trusted at all.
    pub(super) days_left: Option<i64>,
}

/// Sends one request without a body.
pub(super) async fn probe(url: &Url, method: &str) -> anyhow::Result<ProbeResponse> {
    timeout(PROBE_TIMEOUT, send_probe(url, method)).await.unwrap_or_else(|_| bail!("timed out"))
}

async fn send_probe(url: &Url, method: &str) -> anyhow::Result<ProbeResponse> {
    let host = url.host_str().context("the address has no host")?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().context("the address has no port")?;
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    if url.scheme() != "https" {
        let (status, has_hsts) = send_request(stream, url, method).await?;
        return Ok(ProbeResponse { status, has_hsts, trust_error: None, days_left: None });
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        Arc::new(RecordingVerifier { verifier: Verifier::new(provider)?, report: Mutex::default() });
    let config =
        ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::clone(&verifier) as _);
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let stream = connector.connect(ServerName::try_from(host)?, stream).await?;
    let (status, has_hsts) = send_request(stream, url, method).await?;
    let report = verifier.report.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    Ok(ProbeResponse { status, has_hsts, trust_error: report.trust_error, days_left: report.days_left })
}

async fn send_request(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &Url,
    method: &str,
) -> anyhow::Result<(StatusCode, bool)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let authority = url.authority();
    let request = Request::builder()
        .method(method)
        .uri(url.path())
        .header(HOST, authority)
        .header(USER_AGENT, concat!("enablebot/", env!("CARGO_PKG_VERSION")))
        .body(String::new())?;
    let response = sender.send_request(request).await?;
    Ok((response.status(), response.headers().contains_key(STRICT_TRANSPORT_SECURITY)))
}

/// The verdict on a server's certificate.
#[derive(Debug, Default)]
struct CertificateReport {
    trust_error: Option<String>,
    days_left: Option<i64>,
}

/// A verifier that accepts every certificate, and records the verdict of the system's verifier.
#[derive(Debug)]
struct RecordingVerifier {
    verifier: Verifier,
    report: Mutex<Option<CertificateReport>>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify =
            |at| self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        // Verified a century from now, a good certificate fails only by its expiry, which the error names.
        let expiry = verify(UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + CENTURY));
        let report = CertificateReport {
            trust_error: verify(now).err().map(describe_tls_error),
            days_left: expiry.err().and_then(|e| days_until_expiry(&e, now)),
        };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn describe_tls_error(error: Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "unknown issuer".to_owned(),
        Error::InvalidCertificate(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Returns the whole days from `now` to the expiry that an error names.
fn days_until_expiry(error: &Error, now: UnixTime) -> Option<i64> {
    let Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) = error else {
        return None;
    };
    let seconds = i64::try_from(not_after.as_secs()).ok()? - i64::try_from(now.as_secs()).ok()?;
    Some(seconds.div_euclid(DAY_IN_SECONDS as i64))
}
