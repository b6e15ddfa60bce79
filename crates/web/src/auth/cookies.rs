//! Names and attributes of all cookies.

use axum_extra::extract::cookie::{Cookie, SameSite};

use crate::state::WebState;

/// Browsers accept a cookie of this prefix only with `Secure` and for the whole host, and never from another
/// host of the domain.
const HOST_PREFIX: &str = "__Host-";

/// Returns the name of a cookie, with the prefix where browsers reach this service over https.
pub(crate) fn cookie_name(app: &WebState, name: &str) -> String {
    if app.is_secure() { format!("{HOST_PREFIX}{name}") } else { name.to_owned() }
}

/// Builds a cookie that lasts as long as the browser runs, unless `lifetime` is given. Scripts cannot read it,
/// and other sites' forms do not send it.
pub(crate) fn build_cookie(
    app: &WebState,
    name: &str,
    value: String,
    lifetime: Option<time::Duration>,
) -> Cookie<'static> {
    let mut cookie = Cookie::build((cookie_name(app, name), value))
        .path("/")
        .http_only(true)
        // Browsers do not send Strict cookies with a redirect from Slack or a link to the dashboard. Changes
        // need a POST, with which Lax cookies of other sites do not come.
        .same_site(SameSite::Lax)
        .secure(app.is_secure())
        .build();
    cookie.set_max_age(lifetime);
    cookie
}
