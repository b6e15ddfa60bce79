//! Responses that last: live pages and downloads. Each belongs to a session; a replica serves a limited number
//! to a session and to a workspace, and ends them with the session.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use db::DbError;
use futures_util::stream::{self, Stream, TryStreamExt};
use tokio::time::Instant;

use super::current_user::CurrentUser;
use super::extractors::find_current_user;
use crate::page::{ErrorPage, render_page};
use crate::state::WebState;
use crate::stream_limits::{StreamKind, StreamPermit};

/// Interval at which a stream checks its session.
const SESSION_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The session behind a stream, and the stream's place.
pub(crate) struct SessionStream {
    app: Arc<WebState>,
    digest: Vec<u8>,
    /// The permissions with which the stream began.
    is_admin: bool,
    checked_at: Instant,
    _permit: StreamPermit,
}

/// The reason a download broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the session ended")]
    SessionEnded,
}

impl SessionStream {
    /// Begins a stream of a signed-in person; the error is the page that says that too many are open.
    #[expect(clippy::result_large_err, reason = "it is the response")]
    pub(crate) fn begin(
        app: &Arc<WebState>,
        signed_in: &CurrentUser,
        kind: StreamKind,
    ) -> Result<Self, Response> {
        let (digest, tenant_id) = (&signed_in.digest, &signed_in.session.tenant_id);
        let permit = app.stream_limits.acquire(kind, digest, tenant_id).ok_or_else(|| refuse(kind))?;
        Ok(Self {
            app: Arc::clone(app),
            digest: digest.clone(),
            is_admin: signed_in.is_admin,
            checked_at: Instant::now(),
            _permit: permit,
        })
    }

    /// Returns false once the session has ended, or the person lost the permissions of an admin.
    pub(crate) async fn is_active(&mut self) -> Result<bool, DbError> {
        if self.checked_at.elapsed() < SESSION_CHECK_INTERVAL {
            return Ok(true);
        }
        let found = find_current_user(&self.app, self.digest.clone()).await?;
        self.checked_at = Instant::now();
        Ok(found.is_some_and(|user| user.is_admin || !self.is_admin))
    }

    /// Passes on the chunks of a download while the session is active.
    pub(crate) fn guard<T: Send>(
        self,
        chunks: impl Stream<Item = Result<T, DbError>> + Send + 'static,
    ) -> impl Stream<Item = Result<T, DownloadError>> + Send + 'static {
        stream::try_unfold((self, Box::pin(chunks)), |(mut session, mut chunks)| async move {
            if !session.is_active().await? {
                tracing::info!("download ended with its session");
                return Err(DownloadError::SessionEnded);
            }
            Ok(chunks.try_next().await?.map(|chunk| (chunk, (session, chunks))))
        })
    }
}

fn refuse(kind: StreamKind) -> Response {
    tracing::warn!(?kind, "too many streams");
    let (title, detail, next_step) = match kind {
        StreamKind::Live => (
            "Too many live pages",
            "Your session or your workspace has too many pages open that update themselves.",
            "Close some of them, then reload.",
        ),
        StreamKind::Download => (
            "Too many downloads at once",
            "Your session or your workspace is downloading several exports already.",
            "Wait until one of them has finished, then try again.",
        ),
    };
    let page = ErrorPage { title, detail, next_step, action: None };
    ([(RETRY_AFTER, "30")], render_page(StatusCode::TOO_MANY_REQUESTS, &page)).into_response()
}
