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
pub struct Hold(Arc<dyn Fn() -> bool + Send + Sync>);

impl Hold {
    /// Asked for every call, on whichever thread sends it.
    pub fn new(is_held: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_held))
    }

    /// The request with a body that is only there while this holds. The head is not sent before the body is asked for.
    pub(crate) fn guard(&self, mut request: Request) -> Request {
        let bytes = request.body().and_then(reqwest::Body::as_bytes).map(Bytes::copy_from_slice);
        if let Some(bytes) = bytes {
            *request.body_mut() =
                Some(reqwest::Body::wrap(Guarded { bytes: Some(bytes), hold: self.clone() }));
        }
        request
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({})", (self.0)())
    }
}

/// Why a body was not sent.
#[derive(Debug)]
struct NotHeld;

impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not held any more")
    }
}

impl Error for NotHeld {}

/// Whether a request failed because it was not held any more.
pub(crate) fn was_let_go(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(|error| error.is::<NotHeld>())
}

struct Guarded {
    bytes: Option<Bytes>,
    hold: Hold,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = NotHeld;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotHeld>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        Poll::Ready(Some(if (self.hold.0)() { Ok(Frame::data(bytes)) } else { Err(NotHeld) }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
