//! One event in progress: its context, its errors, and the function for each kind of event.

mod classify;
pub(crate) mod context;
pub(crate) mod dispatch;
pub(crate) mod error;
