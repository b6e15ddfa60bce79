//! Sign-in: sessions, cookies, roles, and the extractors that check them.

pub(crate) mod current_user;
mod extractors;
pub(crate) mod operators;
mod reads;
pub(crate) mod secrets;
pub(crate) mod session_cookie;
pub(crate) mod session_loader;
pub(crate) mod standing;

pub(crate) use current_user::{ConfirmedAdmin, CurrentUser, Operator, WorkspaceAdmin};
