//! Middleware of all pages.

pub(crate) mod read_your_writes;
pub(crate) mod request_limits;
pub(crate) mod security_headers;
