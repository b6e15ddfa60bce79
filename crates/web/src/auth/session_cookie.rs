//! The cookie that holds a session's secret.

use axum::http::HeaderName;
use axum::http::header::SET_COOKIE;
use db::DbError;
use secrecy::{ExposeSecret, SecretString};

use super::cookies;
use super::current_user::CurrentUser;
use crate::state::WebState;

pub(super) const SESSION_COOKIE: &str = "enablebot";

pub(crate) async fn end_session(app: &WebState, signed_in: &CurrentUser) -> Result<(), DbError> {
    let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
    db::sessions::delete(&mut tx, &signed_in.digest).await?;
    tx.commit().await
}

/// Builds the cookie that holds a session's secret.
pub(crate) fn session_cookie(app: &WebState, secret: &SecretString) -> (HeaderName, String) {
    let cookie = cookies::build_cookie(app, SESSION_COOKIE, secret.expose_secret().to_owned(), None);
    (SET_COOKIE, cookie.to_string())
}

/// Builds the cookie that removes the session cookie from the browser.
pub(crate) fn expired_cookie(app: &WebState) -> (HeaderName, String) {
    let at_once = Some(time::Duration::ZERO);
    let cookie = cookies::build_cookie(app, SESSION_COOKIE, String::new(), at_once);
    (SET_COOKIE, cookie.to_string())
}
