//! Sign-ins that have begun. Each has a cookie of its own, and a row that its first return uses up: tabs do not
//! disturb each other, and neither a browser nor the database alone can finish a sign-in.

use axum::http::HeaderMap;
use axum_extra::extract::PrivateCookieJar;
use axum_extra::extract::cookie::Cookie;
use db::DbError;
use db::oauth_states::{self, OAUTH_STATE_TTL_SECONDS};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use slack::PendingSignIn;

use super::cookies::{build_cookie, cookie_name};
use super::secrets::digest;
use crate::state::WebState;

/// Start of the cookies' names. A part of the state's digest follows.
const SIGN_IN_COOKIE: &str = "enablebot_sign_in_";
const COOKIE_ID_CHARS: usize = 16;

/// Sign-ins that a browser can have begun at once. More cookies could exceed the limit of a request's head.
const MAX_SIGN_INS_PER_BROWSER: usize = 4;

/// A pending sign-in, and the page to open afterwards.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignInAttempt {
    pub(crate) sign_in: PendingSignIn,
    pub(crate) next: String,
}

impl SignInAttempt {
    /// Stores the state, and adds the encrypted attempt to the browser's cookies.
    pub(crate) async fn store(
        &self,
        app: &WebState,
        headers: &HeaderMap,
    ) -> Result<PrivateCookieJar, DbError> {
        let content = serde_json::to_string(self)?;
        let mut tx = app.db.begin_cross_tenant().await?;
        oauth_states::insert(&mut tx, &digest(&self.sign_in.state), &self.browser_digest()).await?;
        tx.commit().await?;
        let jar = PrivateCookieJar::from_headers(headers, app.cookie_key.clone());
        let prefix = cookie_name(app, SIGN_IN_COOKIE);
        let names = jar.iter().map(|cookie| cookie.name().to_owned());
        let pending: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
        let surplus = pending.len().saturating_sub(MAX_SIGN_INS_PER_BROWSER - 1);
        let jar = pending.into_iter().take(surplus).fold(jar, |jar, name| {
            let cookie = removal(app, name.strip_prefix(&prefix).unwrap_or_default());
            jar.remove(cookie)
        });
        let lifetime = time::Duration::seconds(OAUTH_STATE_TTL_SECONDS.into());
        let name = cookie_of(&cookie_id(&self.sign_in.state));
        Ok(jar.add(build_cookie(app, &name, content, Some(lifetime))))
    }

    /// Uses up a state, and removes its cookie. Returns the attempt if the state was valid and this is the
    /// browser that began it.
    pub(crate) async fn consume(
        app: &WebState,
        headers: &HeaderMap,
        state: Option<&str>,
    ) -> Result<(PrivateCookieJar, Option<Self>), DbError> {
        let jar = PrivateCookieJar::from_headers(headers, app.cookie_key.clone());
        let Some(state) = state else { return Ok((jar, None)) };
        let mut tx = app.db.begin_cross_tenant().await?;
        let browser_digest = oauth_states::consume(&mut tx, &digest(state)).await?;
        tx.commit().await?;
        let id = cookie_id(state);
        let attempt = jar
            .get(&cookie_name(app, &cookie_of(&id)))
            .and_then(|cookie| serde_json::from_str::<Self>(cookie.value()).ok())
            .filter(|attempt| attempt.sign_in.state == state)
            .filter(|attempt| browser_digest == Some(attempt.browser_digest()));
        Ok((jar.remove(removal(app, &id)), attempt))
    }

    /// Returns the digest of what only the browser's cookie holds.
    fn browser_digest(&self) -> Vec<u8> {
        digest(self.sign_in.verifier.expose_secret())
    }
}

fn cookie_id(state: &str) -> String {
    let mut id = hex::encode(digest(state));
    id.truncate(COOKIE_ID_CHARS);
    id
}

fn cookie_of(id: &str) -> String {
    format!("{SIGN_IN_COOKIE}{id}")
}

fn removal(app: &WebState, id: &str) -> Cookie<'static> {
    build_cookie(app, &cookie_of(id), String::new(), None)
}
