//! Failures that a test injects.

use std::time::Duration;

/// The failure of the next call of a method.
#[derive(Clone, Copy, Debug)]
pub enum InjectedFault {
    /// HTTP 200 with `ok: false` and this error, without effect.
    Error(&'static str),
    /// HTTP 429 with `Retry-After`, without effect.
    RateLimited {
        /// Seconds until the next call may be made.
        retry_after: u64,
    },
    /// This HTTP status without a JSON body, without effect.
    HttpStatus(u16),
    /// The call waits this long, then succeeds.
    Delay(Duration),
    /// The call takes effect, but the connection breaks before the response.
    ResponseLost,
}
