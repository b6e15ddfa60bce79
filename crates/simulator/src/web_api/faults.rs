//! Failures a test asks for.

use std::time::Duration;

/// How the next call of a method fails.
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
    /// The call waits so long, then goes on as usual.
    Delay(Duration),
    /// The call takes effect, but its answer is lost: the connection breaks.
    ResponseLost,
}
