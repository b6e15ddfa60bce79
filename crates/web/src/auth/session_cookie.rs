//! The cookie that holds a session's secret.

use axum::http::HeaderName;
use axum::http::header::SET_COOKIE;
use axum_extra::extract::cookie::{Cookie, SameSite};
use db::DbError;
use secrecy::{ExposeSecret, SecretString};

use super::current_user::CurrentUser;
use crate::state::WebState;

pub(crate) async fn end_session(app: &WebState, signed_in: &CurrentUser) -> Result<(), DbError> {
    let mut tx = app.db.begin(&signed_in.session.tenant_id).await?;
    db::sessions::delete(&mut tx, &signed_in.digest).await?;
    tx.commit().await
}

/// Builds the cookie that holds a session's secret.
pub(crate) fn session_cookie(app: &WebState, secret: &SecretString) -> (HeaderName, String) {
    (SET_COOKIE, build_cookie(app, secret.expose_secret()).to_string())
}

/// Builds the cookie that removes the session cookie from the browser.
pub(crate) fn expired_cookie(app: &WebState) -> (HeaderName, String) {
    let mut cookie = build_cookie(app, "");
    cookie.set_max_age(time::Duration::ZERO);
    (SET_COOKIE, cookie.to_string())
}

fn build_cookie(app: &WebState, secret: &str) -> Cookie<'static> {
    Cookie::build((cookie_name(app), secret.to_owned()))
        .path("/")
        .http_only(true)
        // A link to the dashboard must work while signed in. Changes need a POST, which Lax does not cover.
        .same_site(SameSite::Lax)
        .secure(app.is_secure())
        .build()
}

/// Returns the cookie's name. The prefix stops other hosts of the domain from setting it.
pub(super) fn cookie_name(app: &WebState) -> &'static str {
    if app.is_secure() { "__Host-enablebot" } else { "enablebot" }
}
