//! Read-your-writes: after a change, a browser's pages are read from the primary instead of the standby.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::cookies::{build_cookie, cookie_name};
use crate::state::WebState;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;

/// Marks a browser that changed something recently. Forging it is harmless: reads then go to the primary.
const RECENT_WRITE_COOKIE: &str = "enablebot-changed";

/// Reads go to the primary for this time after a change. A standby that lags by more than half of it is not
/// used.
const READ_PRIMARY_DURATION: Duration = Duration::from_secs(60);

/// Marks the browser after a change: a form, a sign-in or an install.
pub(crate) async fn mark_recent_write(
    State(app): State<Arc<WebState>>,
    request: Request,
    next: Next,
) -> Response {
    let is_write = !request.method().is_safe() || request.uri().path().ends_with("/callback");
    let mut response = next.run(request).await;
    if is_write && app.db.standby().is_some() {
        let lifetime = READ_PRIMARY_DURATION.try_into().ok();
        let mark = build_cookie(&app, RECENT_WRITE_COOKIE, "1".to_owned(), lifetime);
        if let Ok(mark) = mark.to_string().try_into() {
            response.headers_mut().append(SET_COOKIE, mark);
        }
    }
    response
}

/// Returns the time until which reads of this browser go to the primary.
pub(crate) fn read_primary_until(app: &WebState, cookies: &CookieJar) -> Option<Instant> {
    cookies.get(&cookie_name(app, RECENT_WRITE_COOKIE)).map(|_| Instant::now() + READ_PRIMARY_DURATION)
}
