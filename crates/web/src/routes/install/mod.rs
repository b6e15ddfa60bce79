//! `GET /slack/install`: redirects to Slack, with a state that is bound to the browser.

pub(crate) mod callback;
pub(crate) mod failure;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::cookies::{build_cookie, cookie_name};
use crate::auth::secrets::{digest, random_secret};
use crate::state::WebState;
use failure::render_failure;

/// Identifies the browser that started an install. Two tabs share it, so either can finish.
pub(super) const INSTALL_COOKIE: &str = "enablebot_install";

pub(crate) async fn begin(State(app): State<Arc<WebState>>, cookies: CookieJar) -> Response {
    let browser = cookies
        .get(&cookie_name(&app, INSTALL_COOKIE))
        .map(Cookie::value)
        .filter(|value| value.len() == 64)
        .map_or_else(random_secret, SecretString::from);
    let state = random_secret();
    let url = match store_state(&app, state.expose_secret(), browser.expose_secret()).await {
        Ok(()) => app.slack_app.authorize_url(&app.slack_base_url, state.expose_secret()),
        Err(error) => return render_failure(error.into()),
    };
    let Ok(url) = url else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let lifetime = time::Duration::seconds(db::oauth_states::OAUTH_STATE_TTL_SECONDS.into());
    let browser = browser.expose_secret().to_owned();
    let cookie = build_cookie(&app, INSTALL_COOKIE, browser, Some(lifetime));
    let headers = [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store")];
    (StatusCode::FOUND, cookies.add(cookie), headers).into_response()
}

async fn store_state(app: &WebState, state: &str, browser: &str) -> Result<(), db::DbError> {
    let mut tx = app.db.begin_cross_tenant().await?;
    db::oauth_states::insert(&mut tx, &digest(state), &digest(browser)).await?;
    tx.commit().await
}
