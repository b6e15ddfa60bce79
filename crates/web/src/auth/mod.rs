//! Sign-in: sessions, cookies, roles, and the extractors that check them.

pub(crate) mod browser_name;
pub(crate) mod cookies;
pub(crate) mod current_user;
pub(crate) mod deactivated;
mod extractors;
pub(crate) mod operators;
mod reads;
pub(crate) mod secrets;
pub(crate) mod session_cookie;
pub(crate) mod session_loader;
pub(crate) mod sign_in_attempt;
pub(crate) mod standing;
pub(crate) mod streams;

pub(crate) use current_user::{ConfirmedAdmin, CurrentUser, Operator, WorkspaceAdmin};
