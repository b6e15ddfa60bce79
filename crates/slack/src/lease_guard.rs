//! Checks that a job's lease is still held immediately before a call is sent. A process that was suspended in
//! the middle of a call must not finish it after another process has taken over the job.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::Request;

/// A check that the caller still holds its lease. Cheap to clone.
#[derive(Clone)]
pub struct SendGuard(Arc<dyn Fn() -> bool + Send + Sync>);

impl SendGuard {
    /// Creates a guard. `is_lease_held` is called for every call, on the thread that sends it.
    pub fn new(is_lease_held: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_lease_held))
    }

    /// Wraps the request's body so that it fails if the lease is lost by the time it is sent.
    pub(crate) fn guard(&self, mut request: Request) -> Request {
        // The head is not sent before the body is polled.
        let bytes = request.body().and_then(reqwest::Body::as_bytes).map(Bytes::copy_from_slice);
        if let Some(bytes) = bytes {
            *request.body_mut() =
                Some(reqwest::Body::wrap(GuardedBody { bytes: Some(bytes), send_guard: self.clone() }));
        }
        request
    }
}

impl fmt::Debug for SendGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendGuard({})", (self.0)())
    }
}

/// The error of a body whose lease was lost.
#[derive(Debug)]
struct LeaseLostError;

impl fmt::Display for LeaseLostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lease lost")
    }
}

impl Error for LeaseLostError {}

/// Returns true if a request failed because its lease was lost.
pub(crate) fn is_lease_lost(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(|error| error.is::<LeaseLostError>())
}

struct GuardedBody {
    bytes: Option<Bytes>,
    send_guard: SendGuard,
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = LeaseLostError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, LeaseLostError>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        Poll::Ready(Some(if (self.send_guard.0)() { Ok(Frame::data(bytes)) } else { Err(LeaseLostError) }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
