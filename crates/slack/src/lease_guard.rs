//! Whether a call may still go out, asked as the last thing before its bytes do: a process that stood still in the middle
//! of a call must not finish it when somebody else has gone on with the work.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::Request;

/// Says whether whoever calls may still do so. Cheap to clone.
#[derive(Clone)]
pub struct SendGuard(Arc<dyn Fn() -> bool + Send + Sync>);

impl SendGuard {
    /// Asked for every call, on whichever thread sends it.
    pub fn new(is_lease_held: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_lease_held))
    }

    /// The request with a body that is only there while this holds. The head is not sent before the body is asked for.
    pub(crate) fn guard(&self, mut request: Request) -> Request {
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
        write!(f, "Hold({})", (self.0)())
    }
}

/// Why a body was not sent.
#[derive(Debug)]
struct LeaseLostError;

impl fmt::Display for LeaseLostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not held any more")
    }
}

impl Error for LeaseLostError {}

/// Whether a request failed because it was not held any more.
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
