//! From where a page is read: the standby, where there is one, or the primary for whoever changed something a moment ago
//! and is to see that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use db::{Db, DbError, Stale, Tx};
use models::TenantId;

use crate::auth::CurrentUser;
use crate::state::WebState;

/// Whoever sends it changed something a moment ago. Making it up gains nothing: the primary is asked.
const RECENT_WRITE_COOKIE: &str = "enablebot-changed";

/// For so long; a standby that is further behind than half of it is not asked.
const READ_PRIMARY_DURATION: Duration = Duration::from_secs(60);

/// From so many seconds on it is told how old a page is.
const MIN_SHOWN_AGE_SECONDS: u64 = 2;

/// Marks the browser by which something was changed: a form, a sign-in, an install.
pub(crate) async fn mark_recent_write(
    State(app): State<Arc<WebState>>,
    request: Request,
    next: Next,
) -> Response {
    let changes = !request.method().is_safe() || request.uri().path().ends_with("/callback");
    let mut response = next.run(request).await;
    if changes && app.db.standby().is_some() {
        let mark = Cookie::build((RECENT_WRITE_COOKIE, "1"))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(app.is_secure())
            .max_age(READ_PRIMARY_DURATION.try_into().unwrap_or_default())
            .build();
        if let Ok(mark) = mark.to_string().try_into() {
            response.headers_mut().append(SET_COOKIE, mark);
        }
    }
    response
}

/// Until when the primary is asked for this browser.
pub(crate) fn read_primary_until(cookies: &CookieJar) -> Option<Instant> {
    cookies.get(RECENT_WRITE_COOKIE).map(|_| Instant::now() + READ_PRIMARY_DURATION)
}

impl CurrentUser {
    /// Whether the primary is asked for them.
    pub(crate) fn has_recent_write(&self) -> bool {
        self.read_primary_until.is_some_and(|until| Instant::now() < until)
    }

    /// The database as they are to see it.
    pub(crate) fn read_db(&self, app: &WebState) -> Db {
        if self.has_recent_write() { app.db.primary_only() } else { app.db.clone() }
    }

    /// Reads of their workspace.
    pub(crate) async fn read<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &WebState,
        query: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        self.read_tenant(app, &self.session.tenant_id, query).await
    }

    /// Reads of a workspace.
    pub(crate) async fn read_tenant<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &WebState,
        tenant_id: &TenantId,
        query: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        Ok(self.record_age(self.read_db(app).read(tenant_id, query).await?))
    }

    /// Reads of them all.
    pub(crate) async fn read_cross_tenant<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &WebState,
        query: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        Ok(self.record_age(self.read_db(app).read_cross_tenant(query).await?))
    }

    /// Notes how old it is what they see.
    pub(crate) fn record_age<T>(&self, seen: Stale<T>) -> T {
        let _ = self.data_age_seconds.set(seen.age.as_secs());
        seen.value
    }

    /// How old it is in seconds, where that is worth a word.
    pub(crate) fn data_age(&self) -> Option<u64> {
        self.data_age_seconds.get().copied().filter(|age| *age >= MIN_SHOWN_AGE_SECONDS)
    }
}
