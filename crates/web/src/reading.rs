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
use db::{Db, DbError, Seen, Tx};
use models::TenantId;

use crate::app::App;
use crate::session::SignedIn;

/// Whoever sends it changed something a moment ago. Making it up gains nothing: the primary is asked.
const MARK: &str = "enablebot-changed";

/// For so long; a standby that is further behind than half of it is not asked.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// From so many seconds on it is told how old a page is.
const TOLD_FROM: u64 = 2;

/// Marks the browser by which something was changed: a form, a sign-in, an install.
pub(crate) async fn mark(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe() || request.uri().path().ends_with("/callback");
    let mut response = next.run(request).await;
    if changes && app.db.standby().is_some() {
        let mark = Cookie::build((MARK, "1"))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(app.is_secure())
            .max_age(COUNTS_FOR.try_into().unwrap_or_default())
            .build();
        if let Ok(mark) = mark.to_string().try_into() {
            response.headers_mut().append(SET_COOKIE, mark);
        }
    }
    response
}

/// Until when the primary is asked for this browser.
pub(crate) fn changed_until(cookies: &CookieJar) -> Option<Instant> {
    cookies.get(MARK).map(|_| Instant::now() + COUNTS_FOR)
}

impl SignedIn {
    /// Whether the primary is asked for them.
    pub(crate) fn has_just_changed(&self) -> bool {
        self.changed_until.is_some_and(|until| Instant::now() < until)
    }

    /// The database as they are to see it.
    pub(crate) fn reads(&self, app: &App) -> Db {
        if self.has_just_changed() { app.db.without_standby() } else { app.db.clone() }
    }

    /// Reads of their workspace.
    pub(crate) async fn read<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &App,
        ask: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        self.read_of(app, &self.session.tenant_id, ask).await
    }

    /// Reads of a workspace.
    pub(crate) async fn read_of<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &App,
        tenant_id: &TenantId,
        ask: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        Ok(self.note(self.reads(app).read(tenant_id, ask).await?))
    }

    /// Reads of them all.
    pub(crate) async fn read_for_all<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &App,
        ask: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        Ok(self.note(self.reads(app).read_for_all(ask).await?))
    }

    /// Notes how old it is what they see.
    pub(crate) fn note<T>(&self, seen: Seen<T>) -> T {
        let _ = self.age.set(seen.age.as_secs());
        seen.value
    }

    /// How old it is in seconds, where that is worth a word.
    pub(crate) fn age(&self) -> Option<u64> {
        self.age.get().copied().filter(|age| *age >= TOLD_FROM)
    }
}
